import { native } from '../../native/addon.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * softmax(scale·q·kᵀ)·v per head over a fused projection.
 * @param qkv [B, T, 3C]: q, k, v side by side
 * @returns [B, T, C]. Probabilities are not kept; backward recomputes them from each query's log-sum-exp.
 */
export function selfAttention(qkv: Tensor, heads: number, scale: number): Tensor {
  const [out, logSumOf] = native.selfAttention(qkv.handle, heads, scale);
  const y = new Tensor(out);
  const logSum = new Tensor(logSumOf);
  record([y], [qkv], [qkv, y, logSum], (dy) => [
    new Tensor(native.selfAttentionBackward(dy!.handle, qkv.handle, y.handle, logSum.handle, heads, scale)),
  ]);
  return y;
}

/**
 * softmax(scale·q·kᵀ + bias)·v per head: self-attention with a bias that all samples share.
 * @param qkv [B, T, 3C]
 * @param bias f32 [heads, T, T] (f64 with f64), see positionBias
 * @returns [B, T, C]
 */
export function biasedSelfAttention(qkv: Tensor, bias: Tensor, heads: number, scale: number): Tensor {
  const [out, logSumOf] = native.biasedSelfAttention(qkv.handle, bias.handle, heads, scale);
  const y = new Tensor(out);
  const logSum = new Tensor(logSumOf);
  record([y], [qkv, bias], [qkv, bias, y, logSum], (dy) => {
    const { handle } = dy!;
    return native
      .biasedSelfAttentionBackward(handle, qkv.handle, bias.handle, y.handle, logSum.handle, heads, scale)
      .map((grad) => new Tensor(grad));
  });
  return y;
}

/** selfAttention with q [B, Tq, C] and k, v [B, Tk, C] of their own; returns [B, Tq, C]. */
export function crossAttention(q: Tensor, k: Tensor, v: Tensor, heads: number, scale: number): Tensor {
  const [out, logSumOf] = native.crossAttention(q.handle, k.handle, v.handle, heads, scale);
  const y = new Tensor(out);
  const logSum = new Tensor(logSumOf);
  record([y], [q, k, v], [q, k, v, y, logSum], (dy) =>
    native
      .crossAttentionBackward(dy!.handle, q.handle, k.handle, v.handle, y.handle, logSum.handle, heads, scale)
      .map((grad) => new Tensor(grad)),
  );
  return y;
}
