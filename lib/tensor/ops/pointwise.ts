import { native } from '../../native/addon.js';
import { record, recording } from '../tape.js';
import { type Dtype, Tensor } from '../tensor.js';

/** Exact GELU, z·Φ(z), of x [...]. Keeps x for backward. */
export function gelu(x: Tensor): Tensor {
  const y = new Tensor(native.gelu(x.handle, null));
  record([y], [x], [x], (dy) => [
    new Tensor(native.geluBackward(dy!.handle, x.handle, null, null, false, null)),
  ]);
  return y;
}

/** x in another dtype; x itself if it has it. Gradients come back in x's dtype. */
export function cast(x: Tensor, dtype: Dtype): Tensor {
  if (x.dtype === dtype) return x;
  const y = new Tensor(native.cast(x.handle, dtype));
  record([y], [x], [], (dy) => [new Tensor(native.cast(dy!.handle, x.dtype))]);
  return y;
}

/** alpha·a + beta·b, of equal shape and dtype. */
export function add(a: Tensor, b: Tensor, alpha = 1, beta = 1): Tensor {
  const y = new Tensor(native.add(a.handle, b.handle, alpha, beta));
  const scaled = (dy: Tensor, factor: number): Tensor =>
    factor === 1 ? dy : new Tensor(native.add(dy.handle, dy.handle, factor, 0));
  record([y], [a, b], [], (dy) => [
    a.requiresGrad ? scaled(dy!, alpha) : null,
    b.requiresGrad ? scaled(dy!, beta) : null,
  ]);
  return y;
}

/** The same values under another shape of equal size; shares memory. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const y = new Tensor(native.reshape(x.handle, shape));
  if (recording(x)) {
    record([y], [x], [], (dy) => {
      // A view of a gradient that others hold, too, must not be added into: it gets memory of its own.
      const own = dy!.holds === 1 ? dy! : new Tensor(native.cast(dy!.handle, dy!.dtype));
      return [new Tensor(native.reshape(own.handle, x.shape))];
    });
  }
  return y;
}

/** Mean of all elements as a scalar; no gradient: a metric. */
export function mean(x: Tensor): Tensor {
  return new Tensor(native.sum(x.handle, 1 / x.size));
}
