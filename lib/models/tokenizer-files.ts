import { existsSync, statSync } from 'node:fs';
import { toFloat32 } from '../checkpoint/dtype.js';
import { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { moduleStateDict, stateDictOf } from '../checkpoint/state-dict.js';
import { readTorchArchive } from '../checkpoint/torch-archive.js';
import type { TorchTensor } from '../checkpoint/torch-tensor.js';
import { UserError } from '../errors.js';
import type { StateEntry } from '../nn/module.js';
import { discreteVaeConfig } from './discrete-vae.js';
import { tokenizerWeightsIn, verifyWeights } from './tokenizer-checkpoint.js';

/** Tensors of a file under their names, each read when its data is asked for. */
export type TensorEntries = Map<string, StateEntry>;

function torchEntries(tensors: ReadonlyMap<string, TorchTensor>): TensorEntries {
  return new Map(
    [...tensors].map(([name, tensor]) => [
      name,
      {
        shape: tensor.shape,
        get data() {
          const values = toFloat32(tensor.dtype, tensor.read());
          if (values === undefined)
            throw new UserError(`${name} holds ${tensor.dtype}, not floating-point numbers`);
          return values;
        },
      },
    ]),
  );
}

/** A DALL-E half: a pickled module, read as data and never run. @throws UserError naming the file */
export function readPickledModule(path: string): TensorEntries {
  if (!existsSync(path)) {
    throw new UserError(
      `${path} is missing; download encoder.pkl and decoder.pkl of DALL-E's tokenizer into that folder`,
    );
  }
  return torchEntries(moduleStateDict(readTorchArchive(path, { allowModules: true }), path).tensors);
}

/**
 * A customized tokenizer's tensors: of a train-tokenizer folder, a safetensors file, or a PyTorch file.
 * A checkpoint's are checked against its checksums.
 * @throws UserError naming the path, and what is wrong with it
 */
export async function readCustomized(path: string): Promise<{ entries: TensorEntries; source: string }> {
  if (!existsSync(path)) throw new UserError(`${path} does not exist; give a tokenizer's folder or file`);
  const folder = statSync(path).isDirectory();
  const source = folder ? await tokenizerWeightsIn(path) : path;
  if (!folder) await verifyWeights(path);
  if (!source.endsWith('.safetensors')) {
    return { entries: torchEntries(stateDictOf(readTorchArchive(source), source)), source };
  }
  const file = SafetensorsFile.open(source);
  try {
    // Before its tensors are read: they may be another model's, of any size and type.
    discreteVaeConfig(new Map(file.names().map((name) => [name, file.info(name).shape])), source);
    const entries = file
      .names()
      .map((name): [string, StateEntry] => [
        name,
        { shape: file.info(name).shape, data: file.readFloat32(name) },
      ]);
    return { entries: new Map(entries), source };
  } finally {
    file.close();
  }
}
