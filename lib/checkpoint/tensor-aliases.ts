import type { StoredTensor } from './stored-tensor.js';
import type { TorchTensor } from './torch-tensor.js';

/** Finds tensors of PyTorch files that are one: the same part of the same storage under several names. */
export class TensorAliases {
  private readonly first = new Map<object, Map<string, TorchTensor>>();

  /** The first tensor met that is the same as this one, as a rule itself. */
  of(tensor: TorchTensor): TorchTensor {
    let places = this.first.get(tensor.storage);
    if (places === undefined) {
      places = new Map();
      this.first.set(tensor.storage, places);
    }
    const known = places.get(tensor.place);
    if (known !== undefined) return known;
    places.set(tensor.place, tensor);
    return tensor;
  }

  /** The same tensors, those that are one being one object. */
  ofAll(tensors: ReadonlyMap<string, TorchTensor>): Map<string, TorchTensor> {
    return new Map([...tensors].map(([name, tensor]) => [name, this.of(tensor)]));
  }
}

/** Whether two tensors hold the same bits; read only where type and shape agree. */
async function equalTensors(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  if (a === b) return true;
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  return Buffer.compare(await a.read(), await b.read()) === 0;
}

/**
 * Makes one tensor of the copies that a format without sharing holds: the reference's alignment encoder shares its
 * encoder's parameters.
 */
export async function shareAlignmentEncoder<T extends StoredTensor>(
  tensors: ReadonlyMap<string, T>,
): Promise<Map<string, T>> {
  const shared = new Map<string, T>();
  for (const [name, tensor] of tensors) {
    const own = name.startsWith('alignment_encoder.')
      ? tensors.get(name.slice('alignment_'.length))
      : undefined;
    shared.set(name, own !== undefined && (await equalTensors(own, tensor)) ? own : tensor);
  }
  return shared;
}
