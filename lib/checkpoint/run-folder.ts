import { mkdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import {
  type CheckpointManifest,
  type CheckpointState,
  formatManifest,
  readManifest,
  stateFileName,
  verifyCheckpoint,
} from './checkpoint-state.js';
import { fileError, systemCode } from './file-errors.js';
import { type FileDigest, makeFolder, syncFolder, writeFileWhole } from './file-sink.js';
import { isAlive } from './process-life.js';
import { type Aside, asideName, checkpointName, listRoot, tagOf } from './run-folder-names.js';

/** One file of a checkpoint to be saved. */
export interface CheckpointFile {
  /** Its name in the folder, for example `model.safetensors`. */
  readonly name: string;
  /** Writes it to `path`, synced: `(path) => writeSafetensors(path, entries)`. */
  write(path: string): Promise<FileDigest>;
}

/** What to save, and where. */
export interface SaveOptions extends CheckpointState {
  /** Folder of the run (`--output_dir`); made where it does not exist. */
  readonly root: string;
  readonly expName: string;
  /** The end of the folder's name: the epoch, or a word. */
  readonly tag: string | number;
  /** Written in this order, one at a time. */
  readonly files: readonly CheckpointFile[];
  /** How many checkpoints to keep, this one included; default: all. */
  readonly keepLast?: number;
}

/** Saves under way in this process: their folders are not leftovers although the process is ours. */
const savesUnderWay = new Set<string>();

/**
 * Saves a checkpoint so that at every moment, power cuts included, each folder under a checkpoint's name is whole.
 * All is written to a folder beside, synced, and renamed; state.json, with the checksums, comes last. One of the
 * same name is replaced: it is moved aside first, and `cleanLeftovers` moves it back where that was the end.
 *
 * @returns absolute path of the checkpoint's folder
 * @throws UserError for anything the system refuses; then earlier checkpoints are as they were and nothing partial
 *   is left, as far as the system lets itself be told
 */
export async function saveCheckpoint(options: SaveOptions): Promise<string> {
  const { expName, tag, files, globalStep, epoch, state, keepLast } = options;
  if (keepLast !== undefined) checkKeepLast(keepLast);
  // Absolute, so that a later change of the working folder does not split a save in two.
  const root = resolve(options.root);
  const name = checkpointName(expName, tag);
  const folder = join(root, name);
  const partial = join(root, asideName(name, 'tmp'));
  if (savesUnderWay.has(partial)) throw new Error(`checkpoint ${folder} is already being saved`);
  savesUnderWay.add(partial);
  try {
    await makeFolder(root);
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial);
    const digests: Record<string, FileDigest> = {};
    for (const file of files) digests[file.name] = await file.write(join(partial, file.name));
    const text = formatManifest({ globalStep, epoch, state, files: digests });
    await writeFileWhole(join(partial, stateFileName), (sink) => sink.write(new TextEncoder().encode(text)));
    await syncFolder(partial);
    await moveIn(root, name, partial);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw fileError('save checkpoint', folder, error);
  } finally {
    savesUnderWay.delete(partial);
  }
  if (keepLast !== undefined) await pruneCheckpoints(root, expName, keepLast, name);
  return folder;
}

/** Gives a finished folder its name; one that has it is moved aside, and back should this fail. */
async function moveIn(root: string, name: string, partial: string): Promise<void> {
  const folder = join(root, name);
  const old = join(root, asideName(name, 'old'));
  let replaces = true;
  await rm(old, { recursive: true, force: true });
  try {
    await rename(folder, old);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    replaces = false;
  }
  try {
    await rename(partial, folder);
  } catch (error) {
    if (replaces) await rename(old, folder);
    throw error;
  }
  await syncFolder(root);
  if (replaces) await rm(old, { recursive: true, force: true });
}

/** A checkpoint's folder; `manifest` is missing where its state.json cannot be used, and `problem` says why. */
export interface ListedCheckpoint {
  readonly folder: string;
  readonly tag: string;
  readonly manifest?: CheckpointManifest;
  readonly problem?: string;
}

/**
 * The checkpoints of a run, newest first (by step, then epoch), then those whose state.json is no use. The other
 * files are not looked at. One that was moved aside by a save that never finished counts, where it still stands.
 *
 * @throws UserError where the root cannot be read; a root that does not exist holds none
 */
export function listCheckpoints(root: string, expName: string): ListedCheckpoint[] {
  const { names, asides } = listRoot(root, expName);
  const places = names.map((name) => ({ name, folder: join(root, name) }));
  for (const { name, folder, kind } of asides) {
    if (kind === 'old' && !names.includes(name)) places.push({ name, folder });
  }
  const listed = places.map(({ name, folder }): ListedCheckpoint => {
    const tag = tagOf(expName, name) as string;
    try {
      return { folder, tag, manifest: readManifest(folder) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { folder, tag, problem: error.message };
    }
  });
  const rank = (key: 'globalStep' | 'epoch', { manifest }: ListedCheckpoint): number => manifest?.[key] ?? -1;
  return listed.sort(
    (a, b) =>
      rank('globalStep', b) - rank('globalStep', a) ||
      rank('epoch', b) - rank('epoch', a) ||
      (a.folder < b.folder ? 1 : -1),
  );
}

/** A valid checkpoint. */
export interface ValidCheckpoint extends CheckpointManifest {
  readonly folder: string;
  readonly tag: string;
}

/** What a run can go on from. */
export interface LatestValid {
  /** Undefined where there is none. */
  readonly checkpoint: ValidCheckpoint | undefined;
  /** Folders that cannot be used, and why: newer ones, and those of unknown age. */
  readonly passedOver: readonly { readonly folder: string; readonly reason: string }[];
}

/**
 * Finds the newest checkpoint (by step, then epoch) whose every file matches its checksum. Changes nothing on disk.
 *
 * @throws UserError where the root cannot be read
 */
export async function findLatestValid(root: string, expName: string): Promise<LatestValid> {
  const passedOver: { folder: string; reason: string }[] = [];
  let checkpoint: ValidCheckpoint | undefined;
  for (const { folder, tag, problem } of listCheckpoints(root, expName)) {
    if (problem !== undefined) {
      passedOver.push({ folder, reason: problem });
      continue;
    }
    if (checkpoint !== undefined) continue;
    try {
      checkpoint = { folder, tag, ...(await verifyCheckpoint(folder)) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      passedOver.push({ folder, reason: error.message });
    }
  }
  return { checkpoint, passedOver };
}

/** Tag of the checkpoint that an evaluation found best: it is kept beside the newest ones. */
export const bestTag = 'best';

/**
 * Removes all but the newest `keepLast` checkpoints, never the newest valid one, nor the best one. Folders whose
 * state.json cannot be read stay: how old they are is not known.
 *
 * @param knownValid name of a folder that needs no verifying, because it was just written
 * @returns the folders removed
 * @throws UserError where one cannot be removed
 */
export async function pruneCheckpoints(
  root: string,
  expName: string,
  keepLast: number,
  knownValid?: string,
): Promise<string[]> {
  checkKeepLast(keepLast);
  const dated = listCheckpoints(root, expName).filter(
    ({ manifest, tag }) => manifest !== undefined && tag !== bestTag,
  );
  const surplus = dated.slice(keepLast);
  if (surplus.length === 0) return [];
  let valid = knownValid === undefined ? undefined : join(root, knownValid);
  for (const { folder } of dated) {
    if (valid !== undefined) break;
    const sound = await verifyCheckpoint(folder).then(
      () => true,
      () => false,
    );
    if (sound) valid = folder;
  }
  const removed: string[] = [];
  for (const { folder, tag } of surplus) {
    if (folder === valid) continue;
    // Renamed first, so that a removal cut short leaves nothing under a checkpoint's name.
    const doomed = join(root, asideName(checkpointName(expName, tag), 'del'));
    try {
      await rm(doomed, { recursive: true, force: true });
      await rename(folder, doomed);
      await rm(doomed, { recursive: true, force: true });
    } catch (error) {
      throw fileError('remove checkpoint', folder, error);
    }
    removed.push(folder);
  }
  return removed;
}

function checkKeepLast(keepLast: number): void {
  if (Number.isInteger(keepLast) && keepLast >= 1) return;
  throw new UserError(`--keep_last ${keepLast} must be a whole number of at least 1`);
}

/**
 * Clears up after runs of this experiment that were killed: removes what they left half-written, and puts a
 * checkpoint back that a save had moved aside without replacing it. Call it when a run starts, before looking for a
 * checkpoint. Folders of processes that still live are left alone, as is everything not named by this module.
 *
 * @returns the folders removed or put back
 * @throws UserError where that is refused
 */
export async function cleanLeftovers(root: string, expName: string): Promise<string[]> {
  const { names, asides } = listRoot(root, expName);
  const present = new Set(names);
  const done: string[] = [];
  for (const aside of asides) {
    if (belongsToLiving(aside)) continue;
    try {
      if (aside.kind === 'old' && !present.has(aside.name)) {
        await rename(aside.folder, join(root, aside.name));
        await syncFolder(root);
        present.add(aside.name);
      } else {
        await rm(aside.folder, { recursive: true, force: true });
      }
    } catch (error) {
      throw fileError('clear up', aside.folder, error);
    }
    done.push(aside.folder);
  }
  return done;
}

/** Whether a process that may still be using the folder lives. Our own id without a save is a dead run's. */
function belongsToLiving({ pid, folder }: Aside): boolean {
  if (pid === process.pid)
    return savesUnderWay.has(resolve(folder).replace(/\.(?:old|del)-(\d+)$/, '.tmp-$1'));
  return isAlive(pid);
}
