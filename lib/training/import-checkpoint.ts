import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { CheckpointState, JsonObject } from '../checkpoint/checkpoint-state.js';
import { writeTensors } from '../checkpoint/export-checkpoint.js';
import { digestFile } from '../checkpoint/file-sink.js';
import type { PickleValue } from '../checkpoint/pickle-values.js';
import { referenceArguments } from '../checkpoint/reference-arguments.js';
import { isCae, withoutAlignmentEncoder } from '../checkpoint/reference-names.js';
import { importOptimizer } from '../checkpoint/reference-optimizer.js';
import { modelDescription, runStateKey } from '../checkpoint/run-description.js';
import { type CheckpointFile, saveCheckpoint } from '../checkpoint/run-folder.js';
import type { StoredTensor } from '../checkpoint/stored-tensor.js';
import { shareAlignmentEncoder } from '../checkpoint/tensor-aliases.js';
import type { Weights } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';
import { gridSize } from '../models/cae-config.js';
import { type ConfigHints, caeConfigOf } from '../models/reference-config.js';
import { describedArguments } from './described-arguments.js';
import { modelFileName, optimizerFileName } from './run-checkpoint.js';

/** A checkpoint's folder that was made, and what it lacks. */
export interface ImportedCheckpoint {
  readonly folder: string;
  readonly notes: readonly string[];
}

/** Where `out` puts a checkpoint: under its own name where that is a checkpoint's, else in that folder. */
function placeOf(out: string, source: string, epoch: number): { root: string; expName: string; tag: string } {
  const named = /^(.+)_checkpoint-([\w.-]+)$/;
  const own = named.exec(basename(out));
  if (own !== null) return { root: dirname(resolve(out)), expName: own[1] as string, tag: own[2] as string };
  const stem = basename(source).replace(/\.[a-z]+$/, '');
  const [, expName = stem, tag = String(epoch)] = named.exec(stem) ?? [];
  return { root: out, expName: expName.replaceAll(/[^\w.-]/g, '_'), tag };
}

/**
 * Makes a run's checkpoint of a PyTorch or safetensors file, for `pretrain --resume`, `reconstruct` and the probes.
 * Sizes come from the tensors, rates from the file's `args` or its description of a run's model; a file that was made of a run gives that run back.
 *
 * @param out a checkpoint's folder (`<exp_name>_checkpoint-<epoch>`), or the folder to put one in
 * @param hints what the tensors do not show; `args` are added from the file
 * @throws UserError naming what is missing, or a source that is such a folder or lies in the one to be made; before
 *   anything is written
 */
export async function importCheckpoint(
  weights: Weights,
  out: string,
  hints: Omit<ConfigHints, 'args'>,
): Promise<ImportedCheckpoint> {
  const { source, tree } = weights;
  if (weights.run !== undefined) {
    throw new UserError(`${weights.run.folder} is a run's checkpoint already; copy the folder`);
  }
  const entry = (key: string): PickleValue | undefined => (tree instanceof Map ? tree.get(key) : undefined);
  const own = runStateOf(entry(runStateKey));
  // A classifier's run comes back with its own state alone: tensors do not show all of it.
  if (!isCae(weights.tensors) && own === undefined) {
    throw new UserError(
      `${source} holds no whole Context AutoEncoder (encoder, regresser, decoder), which a run's checkpoint needs; convert it to .safetensors or .pth`,
    );
  }
  const tensors = withoutAlignmentEncoder(weights.tensors);
  const told = describedArguments(modelDescription(weights));
  const args = new Map([...told.args, ...referenceArguments(tree)]);
  const known: ConfigHints = {
    ...hints,
    numHeads: hints.numHeads ?? told.numHeads,
    decoderNumHeads: hints.decoderNumHeads ?? told.decoderNumHeads,
    args,
  };
  const saved = isCae(weights.tensors) ? entry('optimizer') : undefined;
  const optimizer = saved === undefined ? undefined : importOptimizer(saved, tensors, source);
  const state = own ?? stateOf(tensors, known, optimizer?.step ?? 0, entry('epoch'), source);
  const files = [tensorsFile(modelFileName, tensors)];
  if (optimizer !== undefined) files.push(tensorsFile(optimizerFileName, optimizer.tensors));
  const place = placeOf(out, source, state.epoch);
  refuseOwnFolder(join(place.root, `${place.expName}_checkpoint-${place.tag}`), source);
  const folder = await saveCheckpoint({ ...place, ...state, files });
  const notes: string[] = [];
  if (optimizer === undefined) {
    notes.push(`${basename(source)} has no optimizer: training cannot go on from ${folder}`);
  }
  if (await hasOwnAlignmentEncoder(weights.tensors)) {
    notes.push(
      'its alignment_encoder differs from its encoder and is left out: here it is the encoder itself',
    );
  }
  return { folder, notes };
}

/** @throws UserError where the folder that would be replaced holds the file that is read */
function refuseOwnFolder(folder: string, source: string): void {
  if (existsSync(folder) && realpathSync(folder) === realpathSync(dirname(source))) {
    throw new UserError(`${source} lies in the checkpoint it would replace; give another folder`);
  }
}

/** Whether the alignment encoder holds other values than the encoder: before its first step the reference's does. */
async function hasOwnAlignmentEncoder(tensors: ReadonlyMap<string, StoredTensor>): Promise<boolean> {
  const shared = await shareAlignmentEncoder(tensors);
  return [...shared].some(
    ([name, tensor]) =>
      name.startsWith('alignment_encoder.') && tensor !== shared.get(name.slice('alignment_'.length)),
  );
}

function tensorsFile(name: string, tensors: ReadonlyMap<string, StoredTensor>): CheckpointFile {
  return {
    name,
    write: async (path) => {
      await writeTensors(path, tensors);
      return await digestFile(path);
    },
  };
}

/** The state that a file made of a run brings along. */
function runStateOf(value: PickleValue | undefined): CheckpointState | undefined {
  if (typeof value !== 'string') return undefined;
  try {
    const { globalStep, epoch, state } = JSON.parse(value) as CheckpointState;
    const isCount = (count: unknown): boolean => Number.isSafeInteger(count) && (count as number) >= 0;
    const whole = isCount(globalStep) && isCount(epoch) && typeof state === 'object' && state !== null;
    return whole ? { globalStep, epoch, state } : undefined;
  } catch {
    return undefined;
  }
}

function stateOf(
  tensors: ReadonlyMap<string, StoredTensor>,
  hints: ConfigHints,
  globalStep: number,
  savedEpoch: PickleValue | undefined,
  source: string,
): CheckpointState {
  const config = caeConfigOf(tensors, hints, source);
  const grid = gridSize(config);
  const { args } = hints;
  const count = (name: string, fallback: number): number => {
    const value = args.get(name);
    return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : fallback;
  };
  const epoch =
    typeof savedEpoch === 'number' && Number.isSafeInteger(savedEpoch) ? Math.max(0, savedEpoch) : 0;
  const stepsPerEpoch = globalStep / (epoch + 1);
  const model = {
    kind: 'cae',
    config: { ...config },
    imagenetNormalization: args.get('imagenet_default_mean_and_std') === true,
    maskedPatches: count('num_mask_patches', Math.floor((grid * grid) / 2)),
    tokenizerSize: count('second_input_size', 8 * grid),
    tokenizerType: args.get('discrete_vae_type') === 'customized' ? 'customized' : 'dall-e',
  };
  const plain: Record<string, string | number | boolean> = {};
  for (const [name, value] of args) {
    if (typeof value === 'string' || typeof value === 'boolean') plain[name] = value;
    if (typeof value === 'number' && Number.isFinite(value)) plain[name] = value;
  }
  // The reference saves at the ends of epochs: the schedules fit only with as many steps an epoch as before.
  const unchanged: JsonObject =
    globalStep > 0 && Number.isInteger(stepsPerEpoch) ? { steps_per_epoch: stepsPerEpoch } : {};
  return { globalStep, epoch, state: { model, unchanged, args: plain, meters: [] } };
}
