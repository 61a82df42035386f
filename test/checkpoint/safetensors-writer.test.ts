import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { type SafetensorsEntry, writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { UserError } from '../../lib/errors.js';
import { temporaryFolder } from './support.js';

const data = Uint8Array.from({ length: 1000 }, (_, i) => i & 255);
const entries: SafetensorsEntry[] = ['a', 'b'].map((name) => ({
  name,
  dtype: 'U8',
  shape: [1000],
  byteLength: 1000,
  read: () => data,
}));

afterEach(() => vi.restoreAllMocks());

/** The class all file handles share, so that the system's answers can be replaced. */
async function handlePrototype(): Promise<FileHandle> {
  const handle = await open('/dev/null', 'r');
  const prototype: FileHandle = Object.getPrototypeOf(handle);
  await handle.close();
  return prototype;
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: refused`), { code });
}

async function failure(promise: Promise<unknown>): Promise<UserError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error ?? new Error('it did not fail');
  return error;
}

describe('writing safetensors', () => {
  test('tensors are asked for one at a time, after the one before is written', async () => {
    const path = join(temporaryFolder(), 'x.safetensors');
    const order: string[] = [];
    const prototype = await handlePrototype();
    const write = vi.spyOn(prototype, 'write');
    await writeSafetensors(
      path,
      entries.map((entry) => ({
        ...entry,
        read: async () => {
          order.push(
            `${entry.name} after ${write.mock.settledResults.filter(({ type }) => type === 'fulfilled').length}`,
          );
          return data;
        },
      })),
    );
    expect(order).toEqual(['a after 1', 'b after 2']);
  });

  test('the system may take fewer bytes than offered', async () => {
    const path = join(temporaryFolder(), 'x.safetensors');
    const prototype = await handlePrototype();
    const real = prototype.write as (
      this: FileHandle,
      bytes: Uint8Array,
      at: number,
      length: number,
    ) => Promise<unknown>;
    const short = vi.spyOn(prototype, 'write').mockImplementation(function (
      this: FileHandle,
      ...args: unknown[]
    ) {
      const [bytes, at, length] = args as [Uint8Array, number, number];
      return real.call(this, bytes, at, Math.min(7, length)) as never;
    });
    const digest = await writeSafetensors(path, entries);
    expect(short.mock.calls.length).toBeGreaterThan(2000 / 7);
    vi.restoreAllMocks();
    using file = SafetensorsFile.open(path);
    expect(file.read('a')).toEqual(data);
    expect(file.read('b')).toEqual(data);
    expect(readFileSync(path).length).toBe(digest.bytes);
  });

  test.each([
    ['ENOSPC', 'no space is left'],
    ['EDQUOT', 'quota'],
    ['EROFS', 'read-only'],
    ['EIO', 'check the disk'],
  ])('%s while writing: one line, nothing partial, the old file untouched', async (code, words) => {
    const folder = temporaryFolder();
    const path = join(folder, 'x.safetensors');
    writeFileSync(path, 'the old file');
    const prototype = await handlePrototype();
    const real = prototype.write as (...args: unknown[]) => Promise<unknown>;
    let calls = 0;
    vi.spyOn(prototype, 'write').mockImplementation(function (this: FileHandle, ...args: unknown[]) {
      calls++;
      return (calls === 2 ? Promise.reject(systemError(code)) : real.apply(this, args)) as never;
    });
    const { message } = await failure(writeSafetensors(path, entries));
    expect(message).toContain(`cannot write ${path}`);
    expect(message).toContain(words);
    expect(message).not.toContain('\n');
    expect(readdirSync(folder)).toEqual(['x.safetensors']);
    expect(readFileSync(path, 'utf8')).toBe('the old file');
  });

  test('a failing sync is a failure', async () => {
    const folder = temporaryFolder();
    vi.spyOn(await handlePrototype(), 'sync').mockRejectedValueOnce(systemError('ENOSPC'));
    expect((await failure(writeSafetensors(join(folder, 'x'), entries))).message).toContain(
      'no space is left',
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test('paths that cannot be', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    mkdirSync(join(folder, 'taken'));
    const write = (name: string): Promise<UserError> =>
      failure(writeSafetensors(join(folder, name), entries));
    expect((await write('file/x')).message).toMatch(/is a file, not a folder.*ENOTDIR/);
    expect((await write('absent/x')).message).toMatch(/does not exist.*ENOENT/);
    expect((await write('taken')).message).toMatch(/EISDIR|EEXIST/);
    expect(readdirSync(folder).sort()).toEqual(['file', 'taken']);
  });

  test('a tensor that is not as announced leaves nothing', async () => {
    const path = join(temporaryFolder(), 'x');
    const [a, b] = entries as [SafetensorsEntry, SafetensorsEntry];
    const broken = (entry: SafetensorsEntry): Promise<UserError> =>
      failure(writeSafetensors(path, [a, entry]));
    expect((await broken({ ...b, read: () => data.subarray(1) })).message).toContain('"b" gave 999 bytes');
    expect((await broken({ ...b, shape: [999] })).message).toContain('needs 999 bytes, not 1000');
    expect((await broken({ ...b, name: 'a' })).message).toContain('listed twice');
    expect((await broken({ ...b, name: '__metadata__' })).message).toContain(
      '"__metadata__": the name stands for the metadata',
    );
    expect((await broken({ ...b, dtype: 'F8' as 'U8' })).message).toContain(
      'tensor "b" has dtype "F8", which is not supported; give one of F64, F32,',
    );
    expect((await broken({ ...b, shape: [-1000] })).message).toContain('the impossible shape [-1000]');
    const own = new Error('device lost');
    await expect(writeSafetensors(path, [a, { ...b, read: () => Promise.reject(own) }])).rejects.toBe(own);
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });
});
