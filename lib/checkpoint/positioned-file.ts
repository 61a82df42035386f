import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { UserError } from '../errors.js';
import { fileError } from './file-errors.js';

/** One system call reads at most this much: Linux stops just short of 2 GiB whatever is asked for. */
const maxReadBytes = 2 ** 30;

/** An uninitialised array with a buffer of its own, so that typed views of it start aligned. */
export function allocateBytes(length: number, what: string): Uint8Array {
  try {
    return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer, 0, length);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`${what}: ${length} bytes do not fit one buffer; read it in chunks`, 1, {
      cause: error,
    });
  }
}

/**
 * A regular file read by position, of any size.
 *
 * It is open only inside `withOpen`, so whoever holds one (a tensor read later) holds no descriptor. Opening it
 * again checks that it still is the file first seen, since positions found in one file mean nothing in another.
 */
export class PositionedFile {
  readonly size: number;
  private readonly identity: string;
  private descriptor: number | undefined;
  private users = 0;

  /** @throws UserError where `path` cannot be read or is no regular file */
  constructor(readonly path: string) {
    try {
      // Before opening: opening a named pipe would wait for its other end.
      const stat = statSync(path);
      if (stat.isDirectory())
        throw new UserError(`cannot read ${path}: it is a folder, not a file; name a file`);
      if (!stat.isFile()) throw new UserError(`cannot read ${path}: it is not a regular file`);
      this.size = stat.size;
      this.identity = identityOf(stat);
    } catch (error) {
      throw fileError('read', path, error);
    }
  }

  /** Runs `use` with the file open; calls nest. */
  withOpen<T>(use: () => T): T {
    this.acquire();
    try {
      return use();
    } finally {
      this.release();
    }
  }

  /** Opens the file until the matching `release`. */
  acquire(): void {
    if (this.users === 0) {
      try {
        const descriptor = openSync(this.path, 'r');
        this.descriptor = descriptor;
        if (identityOf(fstatSync(descriptor)) !== this.identity) {
          closeSync(descriptor);
          throw new UserError(`${this.path} changed while it was being read; start again`);
        }
      } catch (error) {
        throw fileError('read', this.path, error);
      }
    }
    this.users++;
  }

  release(): void {
    this.users--;
    if (this.users === 0 && this.descriptor !== undefined) {
      closeSync(this.descriptor);
      this.descriptor = undefined;
    }
  }

  /**
   * Fills `target` with the bytes at `position`.
   *
   * @throws UserError where the file ends before
   */
  readInto(target: Uint8Array, position: number): void {
    this.withOpen(() => {
      let done = 0;
      while (done < target.byteLength) {
        const want = Math.min(maxReadBytes, target.byteLength - done);
        let got: number;
        try {
          got = readSync(this.descriptor as number, target, done, want, position + done);
        } catch (error) {
          throw fileError('read', this.path, error);
        }
        if (got === 0) {
          throw new UserError(`${this.path} ends at byte ${position + done}: it is truncated; copy it again`);
        }
        done += got;
      }
    });
  }

  /** `length` bytes at `position`, as an array with a buffer of its own. */
  read(position: number, length: number): Uint8Array {
    const target = allocateBytes(length, this.path);
    this.readInto(target, position);
    return target;
  }
}

function identityOf(stat: { dev: number; ino: number; size: number; mtimeMs: number }): string {
  return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}
