import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import { type CheckpointManifest, stateFileName, verifyCheckpoint } from './checkpoint-state.js';
import { fileError } from './file-errors.js';
import { fromTimm, hasTimmNames } from './from-timm.js';
import type { PickleValue } from './pickle-values.js';
import { PositionedFile } from './positioned-file.js';
import { findLatestValid } from './run-folder.js';
import { SafetensorsFile } from './safetensors-reader.js';
import { stateDictOf } from './state-dict.js';
import type { FileTensor } from './stored-tensor.js';
import { TensorAliases } from './tensor-aliases.js';
import { readTorchArchive } from './torch-archive.js';
import { isLegacyArchive } from './torch-legacy.js';
import { looksLikeZip } from './zip.js';

/** The name of the weights in a run's checkpoint. */
const modelFileName = 'model.safetensors';

/** How a file holds weights. */
export type WeightsFormat = 'run' | 'safetensors' | 'torch';

/** A checkpoint of any kind, open for reading. Close it when its tensors are read. */
export interface Weights extends Disposable {
  readonly format: WeightsFormat;
  /** The file the tensors lie in, for messages. */
  readonly source: string;
  /**
   * In the order of the file, under the reference's names; a tensor that a PyTorch file holds under several names is
   * one object.
   */
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** A safetensors file's own strings. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All that a PyTorch file holds. */
  readonly tree?: PickleValue;
  /** Whether the file has timm's names, which `tensors` no longer have. */
  readonly wasTimm?: boolean;
  /** What a run's checkpoint says of itself, and its folder. */
  readonly run?: CheckpointManifest & { readonly folder: string };
}

/** The keys that `--model_key` lists, separated by bars. */
export function modelKeys(modelKey: string): string[] {
  return modelKey.split('|').filter((key) => key !== '');
}

/**
 * Opens a checkpoint: the folder of a run's checkpoint (its checksums are verified) or of a run (its newest valid
 * checkpoint), a safetensors file, or a file of PyTorch's in either layout. The content decides, not the name.
 *
 * @param modelKey where a PyTorch file's weights may stand, tried in this order; the reference's flag
 * @throws UserError naming the path: missing, damaged, of no such kind, without weights
 */
export async function openWeights(path: string, modelKey = 'model|module|state_dict'): Promise<Weights> {
  if (!existsSync(path)) throw new UserError(`${path} does not exist; give a checkpoint's folder or file`);
  if (statSync(path).isDirectory()) return await openRun(path);
  const format = weightsFormat(path);
  return withReferenceNames(
    format === 'torch' ? openTorch(path, modelKeys(modelKey)) : openSafetensors(path),
  );
}

/** The same, timm's names turned back. */
function withReferenceNames(weights: Weights): Weights {
  if (!hasTimmNames(weights.tensors)) return weights;
  try {
    return { ...weights, tensors: fromTimm(weights.tensors, weights.source), wasTimm: true };
  } catch (error) {
    weights[Symbol.dispose]();
    throw error;
  }
}

/** What a file holds, by its first bytes. @throws UserError where it cannot be read */
export function weightsFormat(path: string): Exclude<WeightsFormat, 'run'> {
  const file = new PositionedFile(path);
  return file.withOpen(() => looksLikeZip(file) || isLegacyArchive(file)) ? 'torch' : 'safetensors';
}

/**
 * The folder of a checkpoint: itself, or the newest valid one of the run whose folder it is.
 * @throws UserError where it is neither
 */
export async function checkpointFolder(folder: string): Promise<string> {
  if (existsSync(join(folder, stateFileName))) return folder;
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw fileError('read', folder, error);
  }
  for (const name of new Set(names.flatMap((entry) => /^(.+)_checkpoint-/.exec(entry)?.[1] ?? []))) {
    const { checkpoint } = await findLatestValid(folder, name);
    if (checkpoint !== undefined) return checkpoint.folder;
  }
  throw new UserError(
    `${folder} holds no valid checkpoint; give a checkpoint's folder, or the --output_dir of a run`,
  );
}

async function openRun(path: string): Promise<Weights> {
  const folder = await checkpointFolder(path);
  const manifest = await verifyCheckpoint(folder);
  return { ...openSafetensors(join(folder, modelFileName)), format: 'run', run: { ...manifest, folder } };
}

function openSafetensors(path: string): Weights {
  const file = SafetensorsFile.open(path);
  const tensors = file
    .names()
    .map((name): [string, FileTensor] => [name, { ...file.info(name), read: () => file.read(name) }]);
  return {
    format: 'safetensors',
    source: path,
    metadata: file.metadata,
    tensors: new Map(tensors),
    [Symbol.dispose]: () => file.close(),
  };
}

function openTorch(path: string, keys: readonly string[]): Weights {
  const tree = readTorchArchive(path);
  return {
    format: 'torch',
    source: path,
    metadata: {},
    tree,
    tensors: new TensorAliases().ofAll(stateDictOf(tree, path, keys)),
    [Symbol.dispose]: () => undefined,
  };
}
