import { readdirSync } from 'node:fs';
import type * as FilePromises from 'node:fs/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { cleanLeftovers, findLatestValid, saveCheckpoint } from '../../lib/checkpoint/run-folder.js';
import { writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { UserError } from '../../lib/errors.js';
import { temporaryFolder } from './support.js';

/**
 * How many more changes to the disk this process lives to make. Past them every call fails, clearing up included,
 * as for a process that was killed: what the disk holds then is what the next run finds.
 */
let life = Number.POSITIVE_INFINITY;
let made = 0;

/** How many more changes until the system refuses one, with `refusal`, and takes the next again. */
let patience = Number.POSITIVE_INFINITY;
let refusal = 'ENOSPC';

function step(): void {
  if (patience-- === 0) throw Object.assign(new Error(`${refusal}: refused`), { code: refusal });
  if (life <= 0) throw new Error('killed');
  life--;
  made++;
}

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof FilePromises>();
  const mortal = <A extends unknown[], R>(act: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      step();
      return await act(...args);
    };
  };
  return {
    ...real,
    mkdir: mortal(real.mkdir),
    rename: mortal(real.rename),
    rm: async (...[path, options]: Parameters<typeof real.rm>) => {
      step();
      // A kill within a recursive removal leaves some of the files.
      if (life <= 0 && options?.recursive) {
        const first = await real.readdir(path as string).catch(() => []);
        if (first[0] !== undefined) await real.rm(`${String(path)}/${first[0]}`);
        throw new Error('killed');
      }
      await real.rm(path, options);
    },
    open: async (...args: Parameters<typeof real.open>) => {
      step();
      const handle = await real.open(...args);
      const write = handle.write.bind(handle) as (
        bytes: Uint8Array,
        at: number,
        length: number,
      ) => Promise<unknown>;
      const sync = handle.sync.bind(handle);
      return Object.assign(handle, {
        write: async (bytes: Uint8Array, at: number, length: number) => {
          step();
          // A kill within a write leaves a part of it.
          const result = await write(bytes, at, life <= 0 ? Math.ceil(length / 2) : length);
          if (life <= 0) throw new Error('killed');
          return result;
        },
        sync: mortal(sync),
      });
    },
  };
});

afterEach(() => {
  life = Number.POSITIVE_INFINITY;
  patience = Number.POSITIVE_INFINITY;
});

async function save(root: string, globalStep: number, tag: string, keepLast = 2): Promise<void> {
  const bytes = new Uint8Array(100).fill(globalStep);
  const entry = { name: 'w', dtype: 'U8' as const, shape: [100], byteLength: 100, read: () => bytes };
  const files = ['model', 'optimizer'].map((name) => ({
    name: `${name}.safetensors`,
    write: (path: string) => writeSafetensors(path, [entry]),
  }));
  await saveCheckpoint({ root, expName: 'cae', tag, globalStep, epoch: 0, state: {}, files, keepLast });
}

test.each([
  ['new names, one pruned', ['1', '2', '3']],
  ['the same name, replaced', ['latest', 'latest', 'latest']],
])('killed after each single change to the disk: %s', async (_, tags) => {
  let completed = false;
  let moments = 0;
  for (; !completed; moments++) {
    const root = temporaryFolder();
    await save(root, 1, tags[0] as string);
    await save(root, 2, tags[1] as string);
    life = moments;
    made = 0;
    completed = await save(root, 3, tags[2] as string).then(
      () => true,
      () => false,
    );
    expect(made).toBeLessThanOrEqual(moments);
    life = Number.POSITIVE_INFINITY;
    // The next run: whether it clears up first or not, it finds the old or the new one, whole.
    const before = await findLatestValid(root, 'cae');
    await cleanLeftovers(root, 'cae');
    const after = await findLatestValid(root, 'cae');
    for (const { checkpoint, passedOver } of [before, after]) {
      expect([2, 3]).toContain(checkpoint?.globalStep);
      expect(passedOver).toEqual([]);
    }
    expect(after.checkpoint?.globalStep).toBe(before.checkpoint?.globalStep);
    if (completed) expect(after.checkpoint?.globalStep).toBe(3);
    expect(readdirSync(root).filter((name) => name.startsWith('.'))).toEqual([]);
    // And it can save again.
    await save(root, 4, tags[2] as string);
    expect((await findLatestValid(root, 'cae')).checkpoint?.globalStep).toBe(4);
  }
  expect(moments).toBeGreaterThan(25);
});

test.each([
  ['ENOSPC', 'latest'],
  ['EROFS', 'latest'],
  ['EACCES', '3'],
  ['EIO', '3'],
])('%s at each single change to the disk, saving as %s', async (code, tag) => {
  refusal = code;
  let completed = false;
  let moments = 0;
  for (; !completed; moments++) {
    const root = temporaryFolder();
    await save(root, 1, 'one');
    await save(root, 2, 'latest');
    patience = moments;
    const error: unknown = await save(root, 3, tag).then(
      () => undefined,
      (reason) => reason,
    );
    completed = patience >= 0;
    patience = Number.POSITIVE_INFINITY;
    if (completed) expect(error).toBeUndefined();
    else expect(error).toBeInstanceOf(UserError);
    if (error instanceof UserError)
      expect(error.message).toMatch(new RegExp(`^cannot .*${root}.*\\(${code}\\)$`));
    const { checkpoint, passedOver } = await findLatestValid(root, 'cae');
    expect([2, 3]).toContain(checkpoint?.globalStep);
    expect(passedOver).toEqual([]);
    // What was moved aside or was being removed may be left; what was being written is not.
    expect(readdirSync(root).filter((name) => name.includes('.tmp-'))).toEqual([]);
    await cleanLeftovers(root, 'cae');
    expect(readdirSync(root).filter((name) => name.startsWith('.'))).toEqual([]);
    expect((await findLatestValid(root, 'cae')).checkpoint?.globalStep).toBe(checkpoint?.globalStep);
  }
  expect(moments).toBeGreaterThan(25);
});
