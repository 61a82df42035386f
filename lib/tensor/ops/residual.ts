import { native } from '../../native/addon.js';
import { defaultDevice } from '../device.js';
import type { Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * x + keep·gamma·branch: a residual connection with layer scale and stochastic depth.
 * @param x [B, T, C], the residual stream
 * @param branch [B, T, C] in x's dtype, or bf16 beside an f32 x
 * @param gamma layer scale [C] or null
 * @param keep stochastic depth's factor for each sample [B] (see dropPath) or null
 */
export function residual(
  x: Tensor,
  branch: Tensor,
  gamma: Parameter | null = null,
  keep: Tensor | null = null,
): Tensor {
  const y = new Tensor(native.residual(x.handle, branch.handle, gamma?.handle ?? null, keep?.handle ?? null));
  const scaled = gamma?.requiresGrad === true;
  const saved = [...(scaled ? [branch] : []), ...(keep === null ? [] : [keep])];
  record([y], [x, branch, gamma], saved, (dy) => {
    const run = (dgamma: Tensor | null, accumulate: boolean): Tensor =>
      new Tensor(
        native.residualBackward(
          dy!.handle,
          scaled ? branch.handle : null,
          gamma?.handle ?? null,
          keep?.handle ?? null,
          branch.dtype,
          dgamma?.handle ?? null,
          accumulate,
        ),
      );
    let dbranch: Tensor | null = null;
    if (scaled) {
      gamma.accumulate((dgamma, accumulate) => {
        dbranch = run(dgamma, accumulate);
      });
    } else if (branch.requiresGrad) {
      dbranch = run(null, false);
    }
    return [x.requiresGrad ? dy : null, dbranch, null];
  });
  return y;
}

/** Where a stochastic-depth draw comes from: a pure function of these, so that a resumed run draws the same. */
export interface DropPathDraw {
  seed: number;
  /** or one i32 on the device */
  step: number | Tensor;
}

/**
 * Stochastic depth's factors for one branch: 0 with probability `rate`, else 1/(1 − rate), a sample each.
 * @returns f32 [batch], or null where the rate is 0
 */
export function dropPath(
  batch: number,
  rate: number,
  draw: DropPathDraw | null,
  stream: number,
  device = defaultDevice(),
): Tensor | null {
  if (rate === 0 || draw === null) return null;
  const { seed, step } = draw;
  if (step instanceof Tensor)
    return new Tensor(native.dropPath(batch, 'f32', rate, seed, stream, step.handle));
  const own = Tensor.from(Int32Array.of(step), [1], device);
  const factors = new Tensor(native.dropPath(batch, 'f32', rate, seed, stream, own.handle));
  own.release();
  return factors;
}
