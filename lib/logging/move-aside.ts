import { existsSync, renameSync, statSync } from 'node:fs';
import { fileError } from '../checkpoint/file-errors.js';

/**
 * Moves an earlier run's logs out of the way of a new run, all under the same number: `log.txt` becomes `log.txt.1`,
 * or the first number that is free for all of them. Files that are empty or not there, and what is no file, stay.
 *
 * @returns the new paths
 * @throws UserError where the system refuses
 */
export function moveAside(paths: readonly string[]): string[] {
  const full = paths.filter((path) => {
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() === true && found.size > 0;
  });
  let number = 1;
  while (full.some((path) => existsSync(`${path}.${number}`))) number += 1;
  return full.map((path) => {
    try {
      renameSync(path, `${path}.${number}`);
    } catch (error) {
      throw fileError('move', path, error);
    }
    return `${path}.${number}`;
  });
}
