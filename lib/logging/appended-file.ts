import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileError } from '../checkpoint/file-errors.js';
import { makeFolderSync } from '../checkpoint/file-sink.js';

/**
 * A file that only grows. Writes are synchronous: a log's few bytes reach the page cache at once, so they survive
 * the death of the process and an error surfaces where it was met.
 */
export class AppendedFile {
  #descriptor: number | undefined;

  /**
   * @param path missing folders on the way are made
   * @param flags 'a' to open or create, 'ax' to create and fail where it exists
   * @throws UserError where the system refuses
   */
  constructor(
    readonly path: string,
    flags: 'a' | 'ax' = 'a',
  ) {
    try {
      makeFolderSync(dirname(path));
      this.#descriptor = openSync(path, flags);
    } catch (error) {
      throw fileError('write', path, error);
    }
  }

  /**
   * Appends all of `data` or nothing: what a full disk let through is cut off again, so that a later append does not
   * follow half a line or record.
   *
   * @throws UserError where the system refuses
   */
  append(data: Uint8Array | string): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new Error(`${this.path} is closed`);
    const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
    let done = 0;
    try {
      while (done < bytes.byteLength) done += writeSync(descriptor, bytes, done);
    } catch (error) {
      if (done > 0) ftruncateSync(descriptor, fstatSync(descriptor).size - done);
      throw fileError('write', this.path, error);
    }
  }

  /** Makes what was appended durable. Called before a checkpoint that relies on it. */
  sync(): void {
    if (this.#descriptor === undefined) return;
    try {
      fsyncSync(this.#descriptor);
    } catch (error) {
      throw fileError('write', this.path, error);
    }
  }

  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
