import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { fileError, systemCode } from '../checkpoint/file-errors.js';

const newline = 0x0a;
const chunkBytes = 2 ** 20;

/**
 * Cuts a log of JSON lines at the first line that a checkpoint does not cover, or that a killed process left
 * unfinished. Lines come in the order of `key`, so all after it go too. One `ftruncate`, synced: at any moment the
 * file is either the old or the new one, and a full disk is no obstacle.
 *
 * @param key the field lines are counted by, `"epoch"` or `"step"`; a line without it stays with the one before
 * @param first the first value that will be written again: lines with `key` ≥ `first` go
 * @returns how many bytes went; 0 where the file does not exist
 * @throws UserError where the system refuses
 */
export function truncateLines(path: string, key: string, first: number): number {
  // A search, not JSON.parse: Python writes Infinity and NaN, which are no JSON.
  const field = new RegExp(`"${key}"\\s*:\\s*(\\d+)`);
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r+');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw fileError('write', path, error);
  }
  try {
    const size = fstatSync(descriptor).size;
    const end = coveredBytes(descriptor, size, (line) => {
      const value = field.exec(line)?.[1];
      return value === undefined || Number(value) < first;
    });
    if (end < size) {
      ftruncateSync(descriptor, end);
      fsyncSync(descriptor);
    }
    return size - end;
  } catch (error) {
    throw fileError('write', path, error);
  } finally {
    closeSync(descriptor);
  }
}

/** Offset after the last line before the first that is unfinished or not `covered`. */
function coveredBytes(descriptor: number, size: number, covered: (line: string) => boolean): number {
  const chunk = Buffer.alloc(chunkBytes);
  let rest: Uint8Array = new Uint8Array();
  let end = 0;
  for (let at = 0; at < size; ) {
    const count = readSync(descriptor, chunk, 0, chunkBytes, at);
    if (count === 0) break;
    at += count;
    const data = Buffer.concat([rest, chunk.subarray(0, count)]);
    let start = 0;
    for (let stop = data.indexOf(newline); stop >= 0; stop = data.indexOf(newline, start)) {
      if (!covered(data.toString('utf8', start, stop))) return end;
      end += stop + 1 - start;
      start = stop + 1;
    }
    rest = data.subarray(start);
  }
  return end;
}
