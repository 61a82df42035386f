import { accessSync, constants, statSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { UserError } from '../errors.js';
import { fileError } from './file-errors.js';

/**
 * Finds out, before the work whose result it is to hold, that a file cannot be written. Changes nothing on disk.
 * @param made folders that the work makes, with those above them
 * @throws UserError where a folder has its name, or its folder is missing, is none or takes no files
 */
export function checkOutputFile(path: string, made: readonly string[] = []): void {
  const folder = dirname(resolve(path));
  const comes = made.some((name) => `${resolve(name)}${sep}`.startsWith(`${folder}${sep}`));
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      throw new UserError(`cannot write ${path}: it is a folder, not a file; name a file`);
    }
    if (comes && statSync(folder, { throwIfNoEntry: false }) === undefined) return;
    // The dot: a file in the folder's place is an error, too.
    accessSync(`${folder}${sep}.`, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw fileError('write', path, error);
  }
}
