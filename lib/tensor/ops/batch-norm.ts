import { native } from '../../native/addon.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/** What batch normalisation knows of the batches it has seen. */
export interface RunningStatistics {
  /** [C] */
  mean: Tensor;
  /** [C], unbiased */
  variance: Tensor;
  /** i32 [], how many batches */
  batches: Tensor;
}

/**
 * Batch normalisation without gain and shift: (x − mean)/√(variance + eps) per column.
 * @param x [B, C]
 * @param running moved towards the batch's statistics by `momentum` in training, used in evaluation
 * @param training whether to normalise by the batch's own statistics; it needs two samples or more
 * @returns [B, C] in x's dtype
 */
export function batchNorm(
  x: Tensor,
  running: RunningStatistics,
  momentum: number,
  eps: number,
  training: boolean,
): Tensor {
  const [out, meanOf, rstdOf] = native.batchNorm(
    x.handle,
    running.mean.handle,
    running.variance.handle,
    running.batches.handle,
    momentum,
    eps,
    training,
  );
  const y = new Tensor(out);
  const mean = new Tensor(meanOf);
  const rstd = new Tensor(rstdOf);
  record([y], [x], [x, mean, rstd], (dy) => [
    new Tensor(native.batchNormBackward(dy!.handle, x.handle, mean.handle, rstd.handle, training)),
  ]);
  return y;
}
