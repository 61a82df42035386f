import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Weights } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';

/**
 * Refuses what would write over the checkpoint it reads, or make a folder of what is one.
 * @param asFolder whether `to` becomes a checkpoint's folder, not a file
 * @throws UserError naming both, before anything is written
 */
export function checkTarget({ run, source }: Weights, from: string, to: string, asFolder: boolean): void {
  if (run !== undefined && asFolder) {
    throw new UserError(`${from} is a run's checkpoint already; copy the folder`);
  }
  const [target, file] = [placeOf(to), placeOf(source)];
  if (target === file) throw new UserError(`${to} is what is read; give the file to write another name`);
  if (run !== undefined && target.startsWith(placeOf(run.folder) + sep)) {
    throw new UserError(`${to} lies in the checkpoint that is read; write the file elsewhere`);
  }
}

/** Where a path leads, links followed, also where nothing is there yet. */
function placeOf(path: string): string {
  const full = resolve(path);
  try {
    return realpathSync(full);
  } catch {
    const parent = dirname(full);
    return parent === full ? full : join(placeOf(parent), basename(full));
  }
}
