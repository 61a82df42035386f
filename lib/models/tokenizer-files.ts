import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { toFloat32 } from '../checkpoint/dtype.js';
import { findLatestValid } from '../checkpoint/run-folder.js';
import { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { moduleStateDict, stateDictOf } from '../checkpoint/state-dict.js';
import { readTorchArchive } from '../checkpoint/torch-archive.js';
import type { TorchTensor } from '../checkpoint/torch-tensor.js';
import { UserError } from '../errors.js';
import type { StateEntry } from '../nn/module.js';
import { discreteVaeConfig } from './discrete-vae.js';

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

/** The newest valid checkpoint of a train-tokenizer run, or the folder itself where it is one. */
async function checkpointIn(folder: string): Promise<string> {
  if (existsSync(join(folder, 'model.safetensors'))) return join(folder, 'model.safetensors');
  const names = readdirSync(folder).flatMap((name) => /^(.+)_checkpoint-/.exec(name)?.[1] ?? []);
  for (const name of new Set(names)) {
    const { checkpoint } = await findLatestValid(folder, name);
    if (checkpoint !== undefined) return join(checkpoint.folder, 'model.safetensors');
  }
  throw new UserError(
    `${folder} holds no tokenizer: no model.safetensors and no valid checkpoint of train-tokenizer; give its --output_dir`,
  );
}

/**
 * A customized tokenizer's tensors: of a train-tokenizer folder, a safetensors file, or a PyTorch file.
 * @throws UserError naming the path
 */
export async function readCustomized(path: string): Promise<{ entries: TensorEntries; source: string }> {
  if (!existsSync(path)) throw new UserError(`${path} does not exist; give a tokenizer's folder or file`);
  const source = statSync(path).isDirectory() ? await checkpointIn(path) : path;
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
