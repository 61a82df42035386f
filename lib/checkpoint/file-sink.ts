import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError, systemCode } from './file-errors.js';

/** Large enough that a call's cost vanishes, small enough that hashing and writing overlap within one tensor. */
const chunkBytes = 2 ** 23;

/** Size and checksum of a file. */
export interface FileDigest {
  readonly bytes: number;
  /** SHA-256, lower-case hexadecimal. */
  readonly sha256: string;
}

/** Takes the bytes of a file being written, in order. */
export interface FileSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Writes all of `bytes` at the handle's position; the system may take fewer a call. */
async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done);
    done += bytesWritten;
  }
}

/**
 * Makes a folder and those above it. Node's own recursive mkdir never returns where the system answers ENOENT although
 * the folder above exists (as /proc does).
 */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && dirname(folder) !== folder) {
      await makeFolder(dirname(folder));
      await mkdir(folder);
    } else if (systemCode(error) !== 'EEXIST' || !(await stat(folder)).isDirectory()) {
      throw error;
    }
  }
}

/** As `makeFolder`, at once. Node's own recursive mkdir never returns where a parent exists but takes no folder (/proc). */
export function makeFolderSync(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && dirname(folder) !== folder) {
      makeFolderSync(dirname(folder));
      mkdirSync(folder);
    } else if (systemCode(error) !== 'EEXIST' || !statSync(folder).isDirectory()) {
      throw error;
    }
  }
}

/** Makes the entries of a folder durable: names created, renamed or removed in it. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network and FUSE file systems have no such call for folders.
    if (systemCode(error) !== 'EINVAL' && systemCode(error) !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file as a whole or not at all: under a temporary name of its own beside it, synced, then renamed to `path`.
 * A file that was there stays untouched until the new one is complete; of several writes at once the last one counts.
 *
 * @param fill hands over the bytes; they must not change before its `write` has resolved
 * @returns size and SHA-256, computed while writing
 * @throws UserError for anything the system refuses (full disk, read-only folder, …); the partial file is removed
 */
export async function writeFileWhole(
  path: string,
  fill: (sink: FileSink) => Promise<void>,
): Promise<FileDigest> {
  const partial = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${randomUUID().slice(0, 8)}`);
  const hash = createHash('sha256');
  let bytes = 0;
  // Errors of `fill` itself pass unchanged: they are not about this file.
  const guarded = async <T>(step: () => Promise<T>): Promise<T> => {
    try {
      return await step();
    } catch (error) {
      throw fileError('write', path, error);
    }
  };
  const file = await guarded(() => open(partial, 'wx'));
  let handle: FileHandle | undefined = file;
  try {
    await fill({
      async write(data) {
        for (let at = 0; at < data.byteLength; at += chunkBytes) {
          const chunk = data.subarray(at, at + chunkBytes);
          // The write runs on a pool thread while this one hashes.
          const written = guarded(() => writeFully(file, chunk));
          hash.update(chunk);
          await written;
        }
        bytes += data.byteLength;
      },
    });
    await guarded(() => file.sync());
    handle = undefined;
    await guarded(() => file.close());
    await guarded(() => rename(partial, path));
    await guarded(() => syncFolder(dirname(path)));
  } catch (error) {
    await handle?.close().catch(() => undefined);
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/**
 * Size and SHA-256 of a file, read in pieces.
 *
 * @throws UserError where it cannot be read
 */
export async function digestFile(path: string): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const buffers = [Buffer.allocUnsafeSlow(chunkBytes), Buffer.allocUnsafeSlow(chunkBytes)] as const;
    let turn = 0;
    let pending = handle.read(buffers[0], 0, chunkBytes, 0);
    for (;;) {
      const { bytesRead, buffer } = await pending;
      if (bytesRead === 0) break;
      bytes += bytesRead;
      turn ^= 1;
      // The next piece is read by a pool thread while this one hashes.
      pending = handle.read(buffers[turn as 0 | 1], 0, chunkBytes, bytes);
      hash.update(buffer.subarray(0, bytesRead));
    }
  } catch (error) {
    throw fileError('read', path, error);
  } finally {
    await handle?.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}
