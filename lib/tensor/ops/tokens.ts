import { native } from '../../native/addon.js';
import type { Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { type Dtype, Tensor } from '../tensor.js';

/** The patches of images [B,C,H,W] named by ids i32 [B,K], unfolded to [B,K,C·p·p]. No gradient: images. */
export function unfoldPatches(images: Tensor, patchSize: number, ids: Tensor, dtype: Dtype): Tensor {
  return new Tensor(native.unfoldPatches(images.handle, patchSize, ids.handle, dtype));
}

/**
 * [first ; x + positions[1 + ids]], the first token with positions[0].
 * @param x [B, K, C]
 * @param first token [1, 1, C] put in front
 * @param positions table [1, 1+N, C], not trained; its dtype is the result's
 * @param ids i32 [B, K]
 * @returns [B, 1+K, C]
 */
export function embedTokens(x: Tensor, first: Parameter, positions: Tensor, ids: Tensor): Tensor {
  const y = new Tensor(native.embedTokens(x.handle, first.handle, positions.handle, ids.handle));
  record([y], [x, first], [], (dy) => {
    const run = (dfirst: Tensor | null, accumulate: boolean): Tensor =>
      new Tensor(native.embedTokensBackward(dy!.handle, true, x.dtype, dfirst?.handle ?? null, accumulate));
    if (!first.requiresGrad) return [run(null, false), null];
    let dx: Tensor | null = null;
    first.accumulate((dfirst, accumulate) => {
      dx = run(dfirst, accumulate);
    });
    return [dx, null];
  });
  return y;
}

/** Rows 1 + ids of a position table [1, 1+N, C]: [B, K, C]. Not trained. */
export function gatherPositions(positions: Tensor, ids: Tensor): Tensor {
  return new Tensor(native.gatherRows(positions.handle, ids.handle, 1));
}

/** Rows of a table [..., D], its leading axes taken as one, by their numbers i32 [B, K]: [B, K, D]; no gradient. */
export function rowsAt(table: Tensor, rows: Tensor): Tensor {
  return new Tensor(native.gatherRows(table.handle, rows.handle, 0));
}

/** Elements of x by their numbers in row-major order, i32 [B, K]: [B, K, 1]; no gradient. */
export function elementsAt(x: Tensor, rows: Tensor): Tensor {
  return rowsAt(new Tensor(native.reshape(x.handle, [x.size, 1])), rows);
}

/** A learnt token [1, 1, C] repeated to [batch, count, C]. */
export function repeatToken(token: Parameter, batch: number, count: number, dtype: Dtype): Tensor {
  const y = new Tensor(native.repeatToken(token.handle, batch, count, dtype));
  record([y], [token], [], (dy) => {
    token.accumulate((grad, accumulate) => native.repeatTokenBackward(dy!.handle, grad.handle, accumulate));
    return [null];
  });
  return y;
}

/** Tokens of a, then of b. */
export function concatTokens(a: Tensor, b: Tensor): Tensor {
  const y = new Tensor(native.concatTokens(a.handle, b.handle));
  const [first, second] = [a.shape[1]!, b.shape[1]!];
  record([y], [a, b], [], (dy) => [
    a.requiresGrad ? new Tensor(native.sliceTokens(dy!.handle, 0, first)) : null,
    b.requiresGrad ? new Tensor(native.sliceTokens(dy!.handle, first, second)) : null,
  ]);
  return y;
}

/** Tokens [start, start + count) of x [B, T, C]. */
export function sliceTokens(x: Tensor, start: number, count: number): Tensor {
  const y = new Tensor(native.sliceTokens(x.handle, start, count));
  record([y], [x], [], (dy) => [new Tensor(native.sliceTokensBackward(dy!.handle, start, x.shape[1]!))]);
  return y;
}

/** Mean of the tokens from `start` on: x [B, T, C] -> [B, C]. */
export function meanTokens(x: Tensor, start: number): Tensor {
  const y = new Tensor(native.meanTokens(x.handle, start));
  record([y], [x], [], (dy) => [new Tensor(native.meanTokensBackward(dy!.handle, start, x.shape[1]!))]);
  return y;
}

/** The bias [3C] of a fused projection without key bias: [q_bias ; 0 ; v_bias]. */
export function qkvBias(qBias: Parameter, vBias: Parameter): Tensor {
  const width = qBias.size;
  const token = (t: Tensor): Tensor => new Tensor(native.reshape(t.handle, [1, 1, width]));
  const zeros = Tensor.zeros([1, 1, width], qBias.dtype, qBias.device);
  const front = native.concatTokens(token(qBias).handle, zeros.handle);
  const all = new Tensor(native.concatTokens(new Tensor(front).handle, token(vBias).handle));
  const y = new Tensor(native.reshape(all.handle, [3 * width]));
  record([y], [qBias, vBias], [], (dy) => [
    qBias.requiresGrad ? new Tensor(native.rows(dy!.handle, 0, width)) : null,
    vBias.requiresGrad ? new Tensor(native.rows(dy!.handle, 2 * width, width)) : null,
  ]);
  return y;
}
