import { defaultDevice } from '../../lib/tensor/device.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { Tensor } from '../../lib/tensor/tensor.js';

/** Numbers in [-1, 1) from a seed (mulberry32). */
export function randomNumbers(count: number, seed: number): Float64Array {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return Float64Array.from({ length: count }, () => 2 * next() - 1);
}

export function product(shape: readonly number[]): number {
  return shape.reduce((all, extent) => all * extent, 1);
}

/** A trainable f64 parameter of random numbers around `middle`. */
export function randomParameter(shape: readonly number[], seed: number, middle = 0): Parameter {
  const parameter = Parameter.empty(shape, 'f64');
  parameter.assign(randomNumbers(product(shape), seed).map((v) => v + middle));
  return parameter;
}

/** Gives back a parameter with all that hangs on it. */
export function disposeParameter(parameter: Parameter): void {
  parameter.grad?.release();
  parameter.copy?.release();
  parameter.release();
}

/** ‖a − b‖/‖b‖ in float64; not a number where the lengths differ. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.NaN;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** The bits of bf16 as the numbers they stand for. */
export function fromBf16(bits: ArrayLike<number>): Float32Array {
  const words = Uint32Array.from({ length: bits.length }, (_, i) => (bits[i]! << 16) >>> 0);
  return new Float32Array(words.buffer);
}

/** The values rounded to bf16, to nearest even, as f32. */
export function roundToBf16(values: ArrayLike<number>): Float32Array {
  const words = new Uint32Array(Float32Array.from(values).buffer);
  return new Float32Array(words.map((w) => ((w + 0x7fff + ((w >>> 16) & 1)) & 0xffff0000) >>> 0).buffer);
}

/** A tensor's numbers in whatever dtype. */
export function numbersOf(tensor: Tensor): Float32Array | Float64Array {
  const data = tensor.dataSync();
  if (tensor.dtype === 'bf16') return fromBf16(data);
  return data instanceof Float64Array ? data : Float32Array.from(data);
}

export function tensorOf(
  values: ArrayLike<number>,
  shape: readonly number[],
  dtype: 'f32' | 'f64' | 'bf16' = 'f32',
): Tensor {
  if (dtype === 'f64') return Tensor.from(Float64Array.from(values), shape);
  if (dtype === 'f32') return Tensor.from(Float32Array.from(values), shape);
  const bits = new Uint32Array(roundToBf16(values).buffer);
  return Tensor.from(
    Uint16Array.from(bits, (w) => w >>> 16),
    shape,
    defaultDevice(),
    'bf16',
  );
}
