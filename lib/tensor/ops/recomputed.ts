import { native } from '../../native/addon.js';
import type { Parameter } from '../parameter.js';
import { type Dtype, Tensor } from '../tensor.js';
import { layerNormBackward } from './layer-norm.js';

/**
 * A value that one linear layer alone reads. Forward makes it and lets it go; the way back makes it again beside its
 * own gradient, in the same pass over memory, for the gradient of the layer's weight. So activations hold the
 * norm's and the GELU's input, and not their output as well.
 */
export interface Recomputed {
  /** what it is computed from, and where its gradient goes */
  readonly input: Tensor;
  /** weights of its own, whose gradients `backward` accumulates */
  readonly parameters: readonly Parameter[];
  /** The value, and what backward reads beside it. */
  forward(): { value: Tensor; saved: Tensor[] };
  /** The input's gradient from the value's, and the value again. */
  backward(dvalue: Tensor, saved: readonly Tensor[]): { value: Tensor; dx: Tensor };
}

/** LayerNorm of x in `dtype`, for the linear layer behind it; see layerNorm. */
export function normalized(
  x: Tensor,
  weight: Parameter,
  bias: Parameter,
  eps: number,
  dtype: Dtype,
): Recomputed {
  return {
    input: x,
    parameters: [weight, bias],
    forward() {
      const [y, mean, rstd] = native.layerNorm(x.handle, weight.handle, bias.handle, eps, dtype);
      const statistics = [new Tensor(mean), new Tensor(rstd)];
      return { value: new Tensor(y), saved: [x, ...statistics] };
    },
    backward(dvalue, [, mean, rstd]) {
      const value = Tensor.empty(x.shape, dtype, x.device);
      return { value, dx: layerNormBackward(dvalue, x, weight, bias, mean!, rstd!, value) };
    },
  };
}

/** gelu(x), for the linear layer behind it. */
export function activated(x: Tensor): Recomputed {
  return {
    input: x,
    parameters: [],
    forward: () => ({ value: new Tensor(native.gelu(x.handle, null)), saved: [x] }),
    backward(dvalue) {
      const value = Tensor.empty(x.shape, x.dtype, x.device);
      const dx = native.geluBackward(dvalue.handle, x.handle, null, null, false, value.handle);
      return { value, dx: new Tensor(dx) };
    },
  };
}
