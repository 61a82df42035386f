import { native } from '../../native/addon.js';
import { Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * y = x·weightᵀ + bias, in x's dtype: a bf16 x meets the weight's bf16 copy.
 * @param x [..., in]
 * @param weight [out, in]; a weight of more axes ([out, c, k, k]) is taken as [out, c·k·k]
 * @param bias [out] or null
 * @returns [..., out]
 */
export function linear(x: Tensor, weight: Parameter, bias: Tensor | null): Tensor {
  const matrix = asMatrix(weight.as(x.dtype));
  const y = new Tensor(native.linear(x.handle, matrix.handle, bias?.handle ?? null));
  record([y], [x, weight, bias], [x, matrix], (dy) => {
    const dx = x.requiresGrad ? new Tensor(native.linearBackwardInput(dy!.handle, matrix.handle)) : null;
    return [dx, null, weightGradient(dy!, x, weight, bias)];
  });
  return y;
}

/** Writes the weight's gradient, and the bias's; returns the latter where the bias is no parameter. */
function weightGradient(dy: Tensor, x: Tensor, weight: Parameter, bias: Tensor | null): Tensor | null {
  if (!weight.requiresGrad) return null;
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
