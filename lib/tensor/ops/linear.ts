import { native } from '../../native/addon.js';
import { Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';
import { channelSums } from './channel-sums.js';
import type { Recomputed } from './recomputed.js';

/**
 * y = x·weightᵀ + bias, in x's dtype: a bf16 x meets the weight's bf16 copy.
 * @param x [..., in], or what makes it: then it is made again in backward rather than kept
 * @param weight [out, in]; a weight of more axes ([out, c, k, k]) is taken as [out, c·k·k]
 * @param bias [out] or null
 * @returns [..., out]
 */
export function linear(x: Tensor | Recomputed, weight: Parameter, bias: Tensor | null): Tensor {
  if (!(x instanceof Tensor)) return linearOfRecomputed(x, weight, bias);
  const matrix = asMatrix(weight.as(x.dtype));
  const y = new Tensor(native.linear(x.handle, matrix.handle, bias?.handle ?? null));
  record([y], [x, weight, bias], [x, matrix], (dy) => {
    const dx = x.requiresGrad ? new Tensor(native.linearBackwardInput(dy!.handle, matrix.handle)) : null;
    return [dx, null, weightGradient(dy!, x, weight, bias)];
  });
  return y;
}

function linearOfRecomputed(x: Recomputed, weight: Parameter, bias: Tensor | null): Tensor {
  const { value, others, saved } = x.forward();
  const matrix = asMatrix(weight.as(value.dtype));
  const y = new Tensor(native.linear(value.handle, matrix.handle, bias?.handle ?? null));
  value.release();
  const { shape, dtype, device } = y;
  const inputs = [bias, ...x.inputs, weight, ...x.parameters];
  record([y, ...others], inputs, [...saved, matrix], (arriving, ...dothers) => {
    // Where gradients come through the others alone.
    const dy = arriving ?? Tensor.zeros(shape, dtype, device);
    const dvalue = new Tensor(native.linearBackwardInput(dy.handle, matrix.handle));
    const again = x.backward(dvalue, dothers);
    return [weightGradient(dy, again.value, weight, bias), ...again.grads];
  });
  return y;
}

/** Writes the weight's gradient, and the bias's; returns the latter where it is no parameter, or alone is trained. */
function weightGradient(dy: Tensor, x: Tensor, weight: Parameter, bias: Tensor | null): Tensor | null {
  if (!weight.requiresGrad) return bias?.requiresGrad ? channelSums(dy) : null;
  const write = (dbias: Tensor | null, accumulateBias: boolean): void =>
    weight.accumulate((grad, accumulate) =>
      native.linearBackwardWeight(
        dy.handle,
        x.handle,
        grad.handle,
        dbias?.handle ?? null,
        accumulate,
        accumulateBias,
      ),
    );
  if (bias instanceof Parameter && bias.requiresGrad) {
    bias.accumulate(write);
    return null;
  }
  const dbias = bias?.requiresGrad ? Tensor.empty(bias.shape, bias.dtype, bias.device) : null;
  write(dbias, false);
  return dbias;
}

/** The weight as [out, everything else]. */
function asMatrix(weight: Tensor): Tensor {
  if (weight.shape.length === 2) return weight;
  const out = weight.shape[0]!;
  return new Tensor(native.reshape(weight.handle, [out, weight.size / out]));
}
