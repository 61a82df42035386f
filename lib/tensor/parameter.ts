import { native } from '../native/addon.js';
import type { Handle } from '../native/bindings.js';
import { defaultDevice } from './device.js';
import { keep } from './scope.js';
import { type Dtype, type NumberArray, Tensor } from './tensor.js';

/**
 * A master weight (f32; f64 in checks), its gradient, and the low-precision copy that a bf16 run computes with. It
 * belongs to its module, not to a scope.
 */
export class Parameter extends Tensor {
  /** Gradient of the same shape and dtype; null where there is none. */
  grad: Tensor | null = null;
  /** Whether `grad` holds a gradient of this step, to which more is added. */
  hasGrad = false;

  #copy: Tensor | null = null;

  constructor(handle: Handle, trainable = true) {
    super(handle);
    this.requiresGrad = trainable;
    keep(this);
  }

  /** A parameter of uninitialised memory. */
  static override empty(shape: readonly number[], dtype: Dtype = 'f32', device = defaultDevice()): Parameter {
    return new Parameter(native.empty(shape, dtype, device));
  }

  #masterGone = false;

  /**
   * Leaves a frozen weight in `dtype` alone and gives the memory of its full precision back: a tokenizer in bf16 is
   * half as large. Its own values are gone from then on: ops that are given them throw.
   * @throws Error for a weight that is trained
   */
  keepOnly(dtype: Dtype): void {
    if (this.requiresGrad) throw new Error('keepOnly: a weight that is trained needs its full precision');
    if (dtype === this.dtype || this.#masterGone) return;
    this.as(dtype);
    this.#masterGone = true;
    native.release(this.handle);
  }

  #prepared: Tensor | null = null;

  /** What `keepPrepared` left of the weight; null where nothing was prepared. */
  get prepared(): Tensor | null {
    return this.#prepared;
  }

  /**
   * As keepOnly, of a weight that its op reads in an order of its own: only what `prepare` makes of it in `dtype` stays.
   * @throws Error for a weight that is trained
   */
  keepPrepared(dtype: Dtype, prepare: (weight: Tensor) => Tensor): void {
    if (this.requiresGrad) throw new Error('keepPrepared: a weight that is trained changes in each step');
    if (this.#masterGone) return;
    this.#prepared = keep(prepare(this.as(dtype)));
    this.#copy?.release();
    this.#copy = null;
    this.#masterGone = true;
    native.release(this.handle);
  }

  /** Gives everything back: gradient, copies and, where it is still there, the weight itself. */
  dispose(): void {
    for (const tensor of [this.grad, this.#copy, this.#prepared])
      if (tensor?.released === false) tensor.release();
    if (!this.#masterGone && !this.released) this.release();
  }

  /** The weight in the dtype that activations have: itself, or a copy kept beside it. */
  as(dtype: Dtype): Tensor {
    if (dtype === this.dtype) return this;
    if (this.#copy === null || this.#copy.dtype !== dtype) {
      this.#copy?.release();
      this.#copy = keep(new Tensor(native.cast(this.handle, dtype)));
    }
    return this.#copy;
  }

  /** The low-precision copy, if one was made: an optimizer rewrites it with the weight. */
  get copy(): Tensor | null {
    return this.#copy;
  }

  /**
   * Overwrites the values.
   * @param dtype of the array: to be given where it holds bits, of bf16 or of f16
   * @throws Error if the number of values differs
   * @throws TypeError for bits without a dtype, and what Tensor.from does not take
   */
  assign(data: NumberArray, dtype?: Dtype): void {
    if (dtype === undefined && data instanceof Uint16Array) {
      throw new TypeError("assign: a Uint16Array holds bits; say of what, 'bf16' or 'f16'");
    }
    const source = Tensor.from(data, this.shape, this.device, dtype);
    native.copyInto(source.handle, this.handle);
    source.release();
    this.refreshCopy();
  }

  /** Brings the copy up to date after the weight was written other than by an optimizer. */
  refreshCopy(): void {
    if (this.#copy !== null) native.copyInto(this.handle, this.#copy.handle);
  }

  /** Lets `write` add into the gradient, or overwrite what is left of an earlier step. */
  accumulate(write: (grad: Tensor, accumulate: boolean) => void): void {
    this.grad ??= keep(Tensor.empty(this.shape, this.dtype, this.device));
    write(this.grad, this.hasGrad);
    this.hasGrad = true;
  }

  /**
   * Forgets the gradient. On the CPU its memory is there for the activations of the next forward pass; a CUDA device
   * keeps it for the next gradient, since recorded work writes where it wrote before.
   */
  clearGrad(): void {
    this.hasGrad = false;
    if (this.device !== 'cpu') return;
    this.grad?.release();
    this.grad = null;
  }
}

/**
 * Lets one kernel write the gradients of several parameters, which are added to or overwritten together. Where only
 * some of them hold a gradient of this step (the others' were cleared, or a weight is used elsewhere, too), the others
 * start from zeros. A frozen one's goes into memory that is given back.
 */
export function accumulateTogether(
  parameters: readonly Parameter[],
  write: (grads: Tensor[], accumulate: boolean) => void,
): void {
  const accumulate = parameters.some(({ hasGrad, requiresGrad }) => hasGrad && requiresGrad);
  const grads: Tensor[] = [];
  const unwanted: Tensor[] = [];
  for (const parameter of parameters) {
    if (!parameter.requiresGrad) {
      const { shape, dtype, device } = parameter;
      const spare = accumulate ? Tensor.zeros(shape, dtype, device) : Tensor.empty(shape, dtype, device);
      grads.push(spare);
      unwanted.push(spare);
      continue;
    }
    parameter.accumulate((grad, holds) => {
      if (accumulate && !holds) native.fill(grad.handle, 0);
      grads.push(grad);
    });
  }
  write(grads, accumulate);
  for (const tensor of unwanted) tensor.release();
}

/** The same for a weight and its bias. */
export function accumulateBoth(
  weight: Parameter,
  bias: Parameter,
  write: (dweight: Tensor, dbias: Tensor, accumulate: boolean) => void,
): void {
  accumulateTogether([weight, bias], ([dweight, dbias], accumulate) => write(dweight!, dbias!, accumulate));
}
