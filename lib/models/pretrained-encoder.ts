import { toFloat32, toFloat64, toInt32 } from '../checkpoint/dtype.js';
import type { FileTensor } from '../checkpoint/stored-tensor.js';
import { openWeights, type Weights } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';
import type { StateEntry } from '../nn/module.js';

/** A tensor of a file for `loadStateDict`: F64 as float64, other floating-point types as float32, integers as int32. */
export function stateEntry(source: string, name: string, tensor: FileTensor): StateEntry {
  const { dtype, shape } = tensor;
  return {
    shape,
    get data() {
      const bytes = tensor.read();
      const values = dtype === 'F64' ? toFloat64(dtype, bytes) : toFloat32(dtype, bytes);
      const numbers = values ?? toInt32(dtype, bytes);
      if (numbers === undefined) throw new UserError(`${source}: ${name} holds integers past 32 bits`);
      return numbers;
    },
  };
}

/** A name with the prefix of PyTorch's data-parallel wrapper taken off. */
function unwrapped(name: string): string {
  return name.replace(/^module\./, '');
}

/**
 * The tensors of an encoder out of a checkpoint's: those that start with `encoder.`, without it; all of them where
 * none does (an encoder by itself, or a classifier).
 */
export function encoderTensors<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
  const plain = [...tensors].map(([name, tensor]): [string, T] => [unwrapped(name), tensor]);
  const prefix = 'encoder.';
  const own = plain.filter(([name]) => name.startsWith(prefix));
  if (own.length === 0) return new Map(plain);
  return new Map(own.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

/**
 * The weights of a pretrained encoder, `encoder.` stripped from their names, values read at once so that the file is
 * closed again.
 *
 * @param path folder of a run's checkpoint, or of a run; a safetensors file; a `.pth` in either of PyTorch's layouts
 * @param modelKey keys of a PyTorch file under which the weights may stand, separated by bars
 * @throws UserError naming the path, where it cannot be read or holds no encoder
 */
export async function loadPretrainedEncoder(
  path: string,
  modelKey?: string,
): Promise<Map<string, StateEntry>> {
  using weights = await openWeights(path, modelKey);
  return encoderEntries(weights);
}

/** The same, of a checkpoint that is open: values are read at once. @throws UserError where it holds no encoder */
export function encoderEntries(weights: Weights): Map<string, StateEntry> {
  const tensors = encoderTensors(weights.tensors);
  if (!tensors.has('patch_embed.proj.weight')) {
    const names = [...tensors.keys()].slice(0, 4).join(', ');
    throw new UserError(
      `${weights.source} holds no encoder: it has ${names}, …, and no patch_embed.proj.weight; give a pretrained checkpoint, or --model_key`,
    );
  }
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const { shape, data } = stateEntry(weights.source, name, tensor);
      return [name, { shape, data }];
    }),
  );
}
