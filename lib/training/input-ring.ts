import { native } from '../native/addon.js';
import { defaultDevice } from '../tensor/device.js';
import { keep } from '../tensor/scope.js';
import { type Device, type Dtype, type NumberArray, Tensor } from '../tensor/tensor.js';

/** What a step reads, as the host has it. */
export interface HostInput {
  readonly data: NumberArray;
  readonly shape: readonly number[];
}

type InputSet<K extends string> = Partial<Record<K, Tensor>>;

const dtypes: readonly [new () => NumberArray, Dtype][] = [
  [Float32Array, 'f32'],
  [Float64Array, 'f64'],
  [Int32Array, 'i32'],
  [Uint8Array, 'u8'],
];

function dtypeOf(data: NumberArray): Dtype {
  const found = dtypes.find(([array]) => data instanceof array);
  if (found === undefined) throw new Error('input ring: the array is of no dtype that steps read');
  return found[1];
}

/**
 * Where the inputs of steps arrive on the device. There are two sets of tensors, taken by turns, so that a batch is
 * copied while the step before it still computes, and the host waits for neither.
 */
export class InputRing<K extends string> {
  readonly #device: Device;
  readonly #sets: [InputSet<K>, InputSet<K>] = [{}, {}];
  #turn = 0;

  constructor(device: Device = defaultDevice()) {
    this.#device = device;
  }

  /**
   * Queues the copies; what is queued after it reads them.
   * @returns tensors that belong to the ring: good until it has been called twice more
   */
  put(inputs: Readonly<Record<K, HostInput>>): Record<K, Tensor> {
    const set = this.#sets[this.#turn] as InputSet<K>;
    this.#turn = 1 - this.#turn;
    const beside: [Tensor, NumberArray][] = [];
    for (const [name, { data, shape }] of Object.entries(inputs) as [K, HostInput][]) {
      const own = set[name];
      const dtype = dtypeOf(data);
      if (own !== undefined && own.dtype === dtype && own.shape.join() === shape.join()) {
        beside.push([own, data]);
        continue;
      }
      // New memory may still be read by what is queued for whoever had it before: its first copy waits its turn.
      own?.release();
      set[name] = keep(Tensor.from(data, shape, this.#device, dtype));
    }
    native.writeBeside(
      this.#device,
      beside.map(([tensor]) => tensor.handle),
      beside.map(([, data]) => data),
    );
    return { ...set } as Record<K, Tensor>;
  }

  dispose(): void {
    for (const set of this.#sets) {
      for (const [name, tensor] of Object.entries(set) as [K, Tensor][]) {
        tensor.release();
        delete set[name];
      }
    }
  }
}
