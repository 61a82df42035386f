import { native } from '../../native/addon.js';
import { accumulateBoth, type Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { type Dtype, Tensor } from '../tensor.js';

/**
 * LayerNorm over the last axis, statistics in f32: (x − mean)/√(variance + eps)·weight + bias.
 * @param x [..., C]
 * @param dtype of the result; a bf16 run reads its f32 residual stream and gets bf16 for the next GEMM
 */
export function layerNorm(x: Tensor, weight: Parameter, bias: Parameter, eps: number, dtype: Dtype): Tensor {
  const [out, meanOf, rstdOf] = native.layerNorm(x.handle, weight.handle, bias.handle, eps, dtype);
  const y = new Tensor(out);
  const mean = new Tensor(meanOf);
  const rstd = new Tensor(rstdOf);
  record([y], [x, weight, bias], [x, mean, rstd], (dy) => [
    layerNormBackward(dy!, x, weight, bias, mean, rstd, null),
    null,
    null,
  ]);
  return y;
}

/**
 * The gradient of x; those of weight and bias are accumulated.
 * @param y if given, gets the forward result again, in dy's dtype
 */
export function layerNormBackward(
  dy: Tensor,
  x: Tensor,
  weight: Parameter,
  bias: Parameter,
  mean: Tensor,
  rstd: Tensor,
  y: Tensor | null,
): Tensor {
  const run = (dweight: Tensor | null, dbias: Tensor | null, accumulate: boolean): Tensor =>
    new Tensor(
      native.layerNormBackward(
        dy.handle,
        x.handle,
        weight.handle,
        bias.handle,
        mean.handle,
        rstd.handle,
        dweight?.handle ?? null,
        dbias?.handle ?? null,
        accumulate,
        y?.handle ?? null,
      ),
    );
  if (!weight.requiresGrad && !bias.requiresGrad) return run(null, null, false);
  let dx: Tensor | null = null;
  accumulateBoth(weight, bias, (dweight, dbias, accumulate) => {
    dx = run(dweight, dbias, accumulate);
  });
  return dx!;
}
