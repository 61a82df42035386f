import { native } from '../native/addon.js';
import type { Device, Dtype, Handle } from '../native/bindings.js';
import { defaultDevice } from './device.js';
import { enterScope } from './scope.js';

export type { Device, Dtype } from '../native/bindings.js';
export type NumberArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array;

/** The typed array a dtype is read as; bf16 and f16 are read as their bits. */
const arrayOf = {
  f32: Float32Array,
  f64: Float64Array,
  i32: Int32Array,
  u8: Uint8Array,
  bf16: Uint16Array,
  f16: Uint16Array,
} as const;

const arrayNames = [...new Set(Object.values(arrayOf).map(({ name }) => name))].join(', ');

/**
 * A dense row-major tensor on a device. Ops queue their work and return at once; `data()` waits for it. Memory is
 * counted: a new tensor belongs to the scope it is made in (see scope.ts), the tape holds what backward needs, and
 * `release` gives up the caller's hold. Use after release throws, naming the op.
 */
export class Tensor {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly device: Device;
  /** Whether gradients flow to it: set on parameters, and by the tape on what is computed from them. */
  requiresGrad = false;

  readonly #handle: Handle;
  #holds = 1;
  #scope: Set<Tensor> | null;

  constructor(handle: Handle) {
    this.#handle = handle;
    this.shape = native.shapeOf(handle);
    this.dtype = native.dtypeOf(handle);
    this.device = native.deviceOf(handle);
    this.#scope = enterScope(this);
  }

  /**
   * A tensor of the values, copied.
   * @param dtype by default the array's own: f32, f64, i32 or u8; a Uint16Array holds bits, of bf16 unless f16 is said
   * @throws TypeError for another kind of array, one that is not of `dtype`, and shared memory
   * @throws Error where the number of values is not the shape's
   */
  static from(
    data: NumberArray,
    shape: readonly number[],
    device: Device = defaultDevice(),
    dtype?: Dtype,
  ): Tensor {
    return new Tensor(native.fromBytes(data, shape, dtypeOfArray(data, dtype), device));
  }

  /** Uninitialised memory. */
  static empty(shape: readonly number[], dtype: Dtype = 'f32', device: Device = defaultDevice()): Tensor {
    return new Tensor(native.empty(shape, dtype, device));
  }

  static zeros(shape: readonly number[], dtype: Dtype = 'f32', device: Device = defaultDevice()): Tensor {
    const tensor = Tensor.empty(shape, dtype, device);
    native.fill(tensor.handle, 0);
    return tensor;
  }

  /** The native tensor, for ops. After its release an op that is given it throws, naming itself. */
  get handle(): Handle {
    return this.#handle;
  }

  get released(): boolean {
    return this.#holds === 0;
  }

  get size(): number {
    return this.shape.reduce((product, extent) => product * extent, 1);
  }

  /** Another hold on the memory, for who keeps the tensor beyond its scope; each needs its own `release`. */
  hold(): this {
    if (this.released) throw new Error(`hold: a tensor [${this.shape}] was released`);
    this.#holds += 1;
    return this;
  }

  /** How many hold it: 1 means that nobody else will read it. */
  get holds(): number {
    return this.#holds;
  }

  /** Gives up one hold; the memory goes back with the last one. */
  release(): void {
    if (this.released) throw new Error(`release: a tensor [${this.shape}] was released twice`);
    this.#holds -= 1;
    if (this.#holds > 0) return;
    this.#scope?.delete(this);
    native.release(this.#handle);
  }

  [Symbol.dispose](): void {
    if (!this.released) this.release();
  }

  /** Changes the scope that will let it go; null for none. */
  moveTo(scope: Set<Tensor> | null): void {
    this.#scope?.delete(this);
    this.#scope = scope;
    scope?.add(this);
  }

  /** The values, when the work queued so far is done. bf16 and f16 come as bits: cast first. */
  async data(): Promise<NumberArray> {
    const [buffer] = await native.read([this.handle]);
    return new arrayOf[this.dtype](buffer!);
  }

  /** As data, waiting in place. For tests and for the ends of a run, never within a step. */
  dataSync(): NumberArray {
    return new arrayOf[this.dtype](native.readSync(this.handle));
  }

  /** The one number of a scalar of any dtype, waiting in place. @throws Error for a tensor of more or of none */
  item(): number {
    if (this.size !== 1) throw new Error(`item: a tensor [${this.shape}] is no scalar`);
    if (this.dtype !== 'bf16' && this.dtype !== 'f16') return this.dataSync()[0]!;
    const widened = native.cast(this.handle, 'f32');
    const [value] = new Float32Array(native.readSync(widened));
    native.release(widened);
    return value!;
  }
}

/** The dtype that an array's bytes are taken as: the one asked for, which must be the array's. @throws TypeError */
function dtypeOfArray(data: NumberArray, wanted?: Dtype): Dtype {
  const kind = (data as unknown)?.constructor?.name ?? typeof data;
  const dtypes = (Object.keys(arrayOf) as Dtype[]).filter((dtype) => data instanceof arrayOf[dtype]);
  const [natural] = dtypes;
  if (natural === undefined) {
    throw new TypeError(`Tensor.from: ${kind} is no array that it takes; give ${arrayNames}`);
  }
  if (wanted !== undefined && !dtypes.includes(wanted)) {
    const own = arrayOf[wanted]?.name;
    throw new TypeError(
      own === undefined
        ? `Tensor.from: dtype ${wanted} is not known; give ${Object.keys(arrayOf).join(', ')}`
        : `Tensor.from: a ${kind} is not ${wanted}; give a ${own}, or cast the tensor`,
    );
  }
  if (typeof SharedArrayBuffer !== 'undefined' && data.buffer instanceof SharedArrayBuffer) {
    throw new TypeError('Tensor.from: the array is in shared memory; give a copy: array.slice()');
  }
  return wanted ?? natural;
}

/** Reads several tensors with one wait. */
export async function readAll(tensors: readonly Tensor[]): Promise<NumberArray[]> {
  const buffers = await native.read(tensors.map((tensor) => tensor.handle));
  return buffers.map((buffer, i) => new arrayOf[tensors[i]!.dtype](buffer));
}
