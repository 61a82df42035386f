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
  /** what it is computed from, and where its gradients go */
  readonly inputs: readonly Tensor[];
  /** weights of its own, whose gradients `backward` accumulates */
  readonly parameters: readonly Parameter[];
  /** The value, what is made beside it for others to read, and what backward reads. */
  forward(): { value: Tensor; others: Tensor[]; saved: Tensor[] };
  /** The inputs' gradients from those of the value and of the others (null where none arrived), and the value again. */
  backward(dvalue: Tensor, dothers: (Tensor | null)[]): { value: Tensor; grads: (Tensor | null)[] };
}

/**
 * LayerNorm of x in `dtype`, for the linear layer behind it; see layerNorm.
 * @param positions of x's shape, without gradient: added first, and again in backward, so that the sum is not kept
 *   beside an x that others keep
 */
export function normalized(
  x: Tensor,
  weight: Parameter,
  bias: Parameter,
  eps: number,
  dtype: Dtype,
  positions: Tensor | null = null,
): Recomputed {
  const placed = (): Tensor =>
    positions === null ? x : new Tensor(native.add(x.handle, positions.handle, 1, 1));
  const input = placed();
  const [y, meanOf, rstdOf] = native.layerNorm(input.handle, weight.handle, bias.handle, eps, dtype);
  if (positions !== null) input.release();
  const [value, mean, rstd] = [new Tensor(y), new Tensor(meanOf), new Tensor(rstdOf)];
  return {
    inputs: [x],
    parameters: [weight, bias],
    forward: () => ({
      value,
      others: [],
      saved: positions === null ? [x, mean, rstd] : [x, positions, mean, rstd],
    }),
    backward(dvalue) {
      const again = Tensor.empty(x.shape, dtype, x.device);
      const dx = layerNormBackward(dvalue, placed(), weight, bias, mean, rstd, again);
      return { value: again, grads: [x.requiresGrad ? dx : null] };
    },
  };
}

/** gelu(x), for the linear layer behind it. */
export function activated(x: Tensor): Recomputed {
  return {
    inputs: [x],
    parameters: [],
    forward: () => ({ value: new Tensor(native.gelu(x.handle, null)), others: [], saved: [x] }),
    backward(dvalue) {
      const value = Tensor.empty(x.shape, x.dtype, x.device);
      const dx = native.geluBackward(dvalue.handle, x.handle, null, null, false, value.handle);
      return { value, grads: [new Tensor(dx)] };
    },
  };
}
