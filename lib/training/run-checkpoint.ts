import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type JsonObject, verifyCheckpoint } from '../checkpoint/checkpoint-state.js';
import type { StoredDtype } from '../checkpoint/dtype.js';
import {
  type CheckpointFile,
  cleanLeftovers,
  findLatestValid,
  listCheckpoints,
  type ValidCheckpoint,
} from '../checkpoint/run-folder.js';
import { checkExpName } from '../checkpoint/run-folder-names.js';
import { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { type SafetensorsEntry, writeSafetensors } from '../checkpoint/safetensors-writer.js';
import { checkpointFolder } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';
import type { Module, StateEntry } from '../nn/module.js';
import type { Dtype, NumberArray, Tensor } from '../tensor/tensor.js';

/** File names in a checkpoint's folder. */
export const modelFileName = 'model.safetensors';
export const optimizerFileName = 'optimizer.safetensors';
/** The weights' running average, in a run that keeps one. */
export const averageFileName = 'model_ema.safetensors';

const stored: Readonly<Record<Dtype, readonly [StoredDtype, number]>> = {
  f32: ['F32', 4],
  f64: ['F64', 8],
  bf16: ['BF16', 2],
  f16: ['F16', 2],
  i32: ['I32', 4],
  u8: ['U8', 1],
};

/** A file of tensors, each read from its device when its turn to be written has come. */
export function tensorFile(name: string, tensors: ReadonlyMap<string, Tensor>): CheckpointFile {
  const entries = [...tensors].map(([key, tensor]): SafetensorsEntry => {
    const [dtype, bytes] = stored[tensor.dtype];
    return {
      name: key,
      dtype,
      shape: tensor.shape,
      byteLength: tensor.size * bytes,
      async read() {
        const data = await tensor.data();
        return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      },
    };
  });
  return { name, write: (path) => writeSafetensors(path, entries, { format: 'pt' }) };
}

/** Hands a file's tensors to `use`; each is read only when its `data` is asked for. */
export function withTensors<T>(path: string, use: (entries: Map<string, StateEntry>) => T): T {
  using file = SafetensorsFile.open(path);
  const entries = new Map<string, StateEntry>();
  for (const name of file.names()) {
    const { dtype, shape } = file.info(name);
    entries.set(name, {
      shape,
      get data() {
        if (dtype === 'F64') return file.readFloat64(name);
        return dtype.startsWith('F') || dtype === 'BF16' ? file.readFloat32(name) : file.readInt32(name);
      },
    });
  }
  return use(entries);
}

/** Parameters the reference saves twice: its alignment encoder shares the encoder's storage. */
const copied = /^alignment_encoder\./;

/**
 * Loads a model's weights from a checkpoint's folder.
 * @param name of the file that holds them; the running average has one of its own
 * @throws UserError where they are another model's
 */
export function loadModel(folder: string, model: Module, name: string = modelFileName): void {
  const path = join(folder, name);
  const wrong = (why: string): UserError =>
    new UserError(
      `${path} is of another model: ${why}; give the model flags it was trained with, or another checkpoint`,
    );
  withTensors(path, (entries) => {
    const state = model.stateDict();
    for (const [name, { shape }] of entries) {
      const own = state.get(name);
      if (own === undefined && !copied.test(name)) throw wrong(`it has a tensor ${name}`);
      if (own !== undefined && own.shape.join() !== shape.join()) {
        throw wrong(`${name} is [${shape.join(', ')}] there and [${own.shape.join(', ')}] here`);
      }
    }
    const { missing } = model.loadStateDict(entries);
    if (missing.length > 0) throw wrong(`it lacks ${missing[0]}`);
  });
}

/** Takes up an optimizer's saved tensors. @throws UserError where one is missing: they are another optimizer's */
export function loadOptimizer(
  optimizer: { load(read: (name: string) => NumberArray, step: number): void },
  entries: Map<string, StateEntry>,
  steps: number,
): void {
  optimizer.load((name) => {
    const entry = entries.get(name);
    if (entry === undefined) {
      throw new UserError(
        `the checkpoint's optimizer lacks ${name}: it is of another optimizer or model; give the flags of its run`,
      );
    }
    return entry.data;
  }, steps);
}

/**
 * Refuses to start anew among a run's checkpoints: those of both would be pruned, and gone on from, as one run's.
 * @throws UserError where the folder holds checkpoints of this name, or cannot be read
 */
export function refuseOccupied(outputDir: string, expName: string): void {
  const [newest] = listCheckpoints(outputDir, expName);
  if (newest === undefined) return;
  throw new UserError(
    `--no_auto_resume: ${newest.folder} is in the way, of an earlier run of this name; remove that run's checkpoints, or choose another --output_dir or --exp_name`,
  );
}

/** Where a run looks for a checkpoint to go on from. */
export interface ResumeOptions {
  readonly outputDir: string;
  readonly expName: string;
  readonly autoResume: boolean;
  /** A folder named by the user, of a checkpoint or of a run that has one: it must be valid. */
  readonly resume?: string | undefined;
}

/**
 * The checkpoint to go on from, verified. One named by the user comes first only where the run's own folder has
 * none that is valid: a job that restarts with the same command must not fall back to where it began.
 * @param say takes a line about each checkpoint passed over
 * @throws UserError where the user named something that is no valid checkpoint, or a folder cannot be read
 */
export async function findResume(
  options: ResumeOptions,
  say: (line: string) => void,
): Promise<ValidCheckpoint | undefined> {
  const { outputDir, expName, autoResume, resume } = options;
  checkExpName(expName);
  if (autoResume) {
    await cleanLeftovers(outputDir, expName);
    const { checkpoint, passedOver } = await findLatestValid(outputDir, expName);
    for (const { folder, reason } of passedOver) say(`passed over ${folder}: ${reason}`);
    if (checkpoint !== undefined) return checkpoint;
  }
  if (resume === undefined || resume === '') return undefined;
  const folder = await namedCheckpoint(resume);
  return { folder, tag: '', ...(await verifyCheckpoint(folder)) };
}

/**
 * The folder of a checkpoint that the user named: itself, or the newest valid one of the run whose folder it is.
 * @throws UserError where it is neither, as a file is not, which has to be converted
 */
export async function namedCheckpoint(path: string): Promise<string> {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new UserError(
      `${path} is a file; convert it to a folder first: cae-native convert ${path} FOLDER, and name that`,
    );
  }
  return await checkpointFolder(path);
}

/**
 * What the checkpoint does not record (one that was converted from another program's) is taken as it is now.
 * @throws UserError where a value that must stay over a resume has changed
 */
export function checkUnchanged(folder: string, before: JsonObject, now: JsonObject): void {
  for (const [name, value] of Object.entries(now)) {
    if (before[name] === undefined || JSON.stringify(before[name]) === JSON.stringify(value)) continue;
    throw new UserError(
      `${folder} was made with ${name} ${JSON.stringify(before[name])}, this run has ${JSON.stringify(value)}; ` +
        'use the same data and flags, or another --output_dir',
    );
  }
}
