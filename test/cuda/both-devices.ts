import { native } from '../../lib/native/addon.js';
import type { Dtype, Handle } from '../../lib/native/bindings.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { product, randomNumbers } from '../tensor/numbers.js';

/** What a case makes its tensors with; the same numbers on every device. */
export interface Bench {
  device: string;
  /** dtype of activations; f16 becomes f32 on the CPU, which does not compute in it */
  dtype: Dtype;
  /** Random numbers in [-1, 1) times `factor`, which f16 and bf16 hold exactly, in `dtype` unless told otherwise. */
  input(shape: readonly number[], seed: number, options?: { dtype?: Dtype; factor?: number }): Handle;
  /** Whole numbers in [0, limit). */
  ids(shape: readonly number[], seed: number, limit: number): Handle;
  /** Uninitialised memory in f32: what a kernel must fill. */
  room(shape: readonly number[], dtype?: Dtype): Handle;
}

export type Case = (bench: Bench) => Record<string, Handle>;

function benchOn(device: string, dtype: Dtype): Bench {
  const own = (handle: Handle): Handle => new Tensor(handle).handle;
  return {
    device,
    dtype,
    input(shape, seed, { dtype: as = dtype, factor = 1 } = {}) {
      const values = randomNumbers(product(shape), seed).map((v) => (Math.round(v * 127) / 128) * factor);
      const wide = own(native.fromBytes(Float32Array.from(values), shape, 'f32', device));
      return as === 'f32' ? wide : own(native.cast(wide, as));
    },
    ids(shape, seed, limit) {
      const values = randomNumbers(product(shape), seed).map((v) => Math.floor(((v + 1) / 2) * limit));
      return own(native.fromBytes(Int32Array.from(values), shape, 'i32', device));
    },
    room: (shape, as = 'f32') => own(native.empty(shape, as, device)),
  };
}

function numbers(handle: Handle): ArrayLike<number> {
  const dtype = native.dtypeOf(handle);
  if (dtype === 'i32') return new Int32Array(native.readSync(handle));
  const wide = dtype === 'f32' ? handle : native.cast(handle, 'f32');
  return new Float32Array(native.readSync(wide));
}

/** The results of a case on the CPU and on the CUDA device, by name. */
export function onBoth(
  dtype: Dtype,
  run: Case,
): Record<string, { cpu: ArrayLike<number>; cuda: ArrayLike<number> }> {
  const on = (device: string, as: Dtype): Record<string, ArrayLike<number>> =>
    scope(() => {
      const results = run(benchOn(device, as));
      return Object.fromEntries(Object.entries(results).map(([name, h]) => [name, numbers(h)]));
    });
  const cuda = on(defaultDevice(), dtype);
  const cpu = on('cpu', dtype === 'f16' ? 'f32' : dtype);
  return Object.fromEntries(
    Object.entries(cuda).map(([name, values]) => [name, { cpu: cpu[name]!, cuda: values }]),
  );
}
