import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { verifyCheckpoint } from '../../lib/checkpoint/checkpoint-state.js';
import {
  cleanLeftovers,
  findLatestValid,
  listCheckpoints,
  pruneCheckpoints,
  type SaveOptions,
  saveCheckpoint,
} from '../../lib/checkpoint/run-folder.js';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { UserError } from '../../lib/errors.js';
import { temporaryFolder } from './support.js';

/** A process id that belongs to nobody: above the kernel's largest. */
const deadPid = 2 ** 22 + 7;

function optionsOf(
  root: string,
  step: number,
  tag: string | number = step,
  more: Partial<SaveOptions> = {},
): SaveOptions {
  const bytes = new Uint8Array(Float32Array.of(step, step + 0.5).buffer);
  const entry = { name: 'w', dtype: 'F32' as const, shape: [2], byteLength: 8, read: () => bytes };
  return {
    root,
    expName: 'cae',
    tag,
    globalStep: step,
    epoch: Math.floor(step / 10),
    state: { seed: 7, loader: { position: step, order: [3, 1, 2] }, lr: 0.1 + 0.2 },
    files: ['model', 'optimizer'].map((name) => ({
      name: `${name}.safetensors`,
      write: (path: string) => writeSafetensors(path, [entry]),
    })),
    ...more,
  };
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
  writeFileSync(path, bytes);
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error ?? new Error('it did not fail');
  expect(error.message).not.toContain('\n');
  return error.message;
}

const stepOf = async (root: string): Promise<number | undefined> =>
  (await findLatestValid(root, 'cae')).checkpoint?.globalStep;

describe('saving checkpoints', () => {
  test('a folder comes back as saved', async () => {
    const root = join(temporaryFolder(), 'new', 'run');
    const folder = await saveCheckpoint(optionsOf(root, 12, 1));
    expect(folder).toBe(join(root, 'cae_checkpoint-1'));
    expect(readdirSync(root)).toEqual(['cae_checkpoint-1']);
    expect(readdirSync(folder).sort()).toEqual(['model.safetensors', 'optimizer.safetensors', 'state.json']);
    const { checkpoint, passedOver } = await findLatestValid(root, 'cae');
    expect(passedOver).toEqual([]);
    expect(checkpoint).toMatchObject({ folder, tag: '1', globalStep: 12, epoch: 1 });
    expect(checkpoint?.state).toEqual(optionsOf(root, 12).state);
    using file = SafetensorsFile.open(join(folder, 'model.safetensors'));
    expect([...file.readFloat32('w')]).toEqual([12, 12.5]);
  });

  test('one of the same name is replaced', async () => {
    const root = temporaryFolder();
    await saveCheckpoint(optionsOf(root, 1, 'latest'));
    await saveCheckpoint(optionsOf(root, 2, 'latest'));
    expect(readdirSync(root)).toEqual(['cae_checkpoint-latest']);
    expect(await stepOf(root)).toBe(2);
  });

  test('keepLast keeps as many', async () => {
    const root = temporaryFolder();
    for (const step of [8, 9, 10, 11]) await saveCheckpoint(optionsOf(root, step, step, { keepLast: 2 }));
    expect(readdirSync(root).sort()).toEqual(['cae_checkpoint-10', 'cae_checkpoint-11']);
    expect(await failure(saveCheckpoint(optionsOf(root, 12, 12, { keepLast: 0 })))).toContain(
      '--keep_last 0',
    );
    expect(readdirSync(root).length).toBe(2);
  });

  test('names that are no folder names, states JSON would change', async () => {
    const root = temporaryFolder();
    expect(await failure(saveCheckpoint(optionsOf(root, 1, '../x')))).toContain('"../x"');
    expect(await failure(saveCheckpoint({ ...optionsOf(root, 1), expName: 'a/b' }))).toContain(
      '--exp_name "a/b"',
    );
    expect(await failure(saveCheckpoint({ ...optionsOf(root, 1), expName: '' }))).toContain('--exp_name ""');
    await expect(saveCheckpoint({ ...optionsOf(root, 1), state: { loss: [Number.NaN] } })).rejects.toThrow(
      /NaN/,
    );
    expect(readdirSync(root)).toEqual([]);
  });

  test('a file that fails leaves earlier checkpoints and nothing else', async () => {
    const root = temporaryFolder();
    const kept = await saveCheckpoint(optionsOf(root, 1, 'latest'));
    const [model] = optionsOf(root, 2).files as [SaveOptions['files'][0]];
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const files = [model, { name: 'optimizer.safetensors', write: () => Promise.reject(full) }];
    expect(await failure(saveCheckpoint(optionsOf(root, 2, 'latest', { files })))).toMatch(
      /cannot save checkpoint .*cae_checkpoint-latest: no space is left.*ENOSPC/,
    );
    expect(readdirSync(root)).toEqual(['cae_checkpoint-latest']);
    expect((await verifyCheckpoint(kept)).globalStep).toBe(1);
  });

  test('roots that cannot be', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'file');
    writeFileSync(file, 'mine');
    expect(await failure(saveCheckpoint(optionsOf(join(file, 'run'), 1)))).toMatch(/ENOTDIR/);
    expect(await failure(saveCheckpoint(optionsOf(file, 1)))).toMatch(/EEXIST|ENOTDIR/);
    expect(await failure(findLatestValid(file, 'cae'))).toMatch(/cannot list .*ENOTDIR/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(await findLatestValid(join(folder, 'absent'), 'cae')).toEqual({
      checkpoint: undefined,
      passedOver: [],
    });
    // Under Linux's /proc nobody makes folders, root included.
    expect(await failure(saveCheckpoint(optionsOf('/proc/cae', 1)))).toMatch(/cannot save checkpoint/);
  });
});

describe('finding the newest valid checkpoint', () => {
  async function three(): Promise<{ root: string; folders: string[] }> {
    const root = temporaryFolder();
    const folders: string[] = [];
    for (const step of [9, 10, 11]) folders.push(await saveCheckpoint(optionsOf(root, step)));
    return { root, folders };
  }

  test('by step, not by name or time', async () => {
    const root = temporaryFolder();
    await saveCheckpoint(optionsOf(root, 100, 'a'));
    await saveCheckpoint(optionsOf(root, 20, 'z'));
    await saveCheckpoint(optionsOf(root, 3, '999'));
    expect(await stepOf(root)).toBe(100);
    expect(listCheckpoints(root, 'cae').map(({ tag }) => tag)).toEqual(['a', 'z', '999']);
  });

  test.each<[string, (folder: string) => void, RegExp]>([
    [
      'a missing file',
      (folder) => rmSync(join(folder, 'optimizer.safetensors')),
      /optimizer\.safetensors is missing/,
    ],
    [
      'a cut file',
      (folder) => truncateSync(join(folder, 'model.safetensors'), 20),
      /model\.safetensors has 20 bytes where \d+ were saved/,
    ],
    [
      'a flipped bit',
      (folder) => flip(join(folder, 'optimizer.safetensors')),
      /optimizer\.safetensors does not match its checksum/,
    ],
    ['no state.json', (folder) => rmSync(join(folder, 'state.json')), /state\.json is missing/],
    ['a cut state.json', (folder) => truncateSync(join(folder, 'state.json'), 50), /state\.json is not JSON/],
    [
      'an empty state.json',
      (folder) => truncateSync(join(folder, 'state.json'), 0),
      /state\.json is not JSON/,
    ],
    ['another version', (folder) => edit(folder, (json) => ({ ...json, version: 2 })), /format version 2/],
    [
      'another format',
      (folder) => edit(folder, (json) => ({ ...json, format: 'x' })),
      /not the state of a checkpoint/,
    ],
    [
      'an edited state',
      (folder) => edit(folder, (json) => ({ ...json, globalStep: 12 })),
      /does not match its own checksum/,
    ],
    [
      'no step',
      (folder) => edit(folder, ({ globalStep, ...json }) => ({ ...json, step: globalStep })),
      /lacks what/,
    ],
    ['a list', (folder) => writeFileSync(join(folder, 'state.json'), '[1]'), /not the state/],
    [
      'files that leave the folder',
      (folder) =>
        edit(folder, (json) => ({ ...json, files: { '../x': { bytes: 0, sha256: '0'.repeat(64) } } })),
      /does not list its files/,
    ],
    [
      'a file in a folder’s place',
      (folder) => {
        rmSync(join(folder, 'model.safetensors'));
        mkdirSync(join(folder, 'model.safetensors'));
      },
      /model\.safetensors/,
    ],
  ])('%s is passed over, and named', async (_, damage, reason) => {
    const { root, folders } = await three();
    const newest = folders[2] as string;
    damage(newest);
    const { checkpoint, passedOver } = await findLatestValid(root, 'cae');
    expect(checkpoint?.folder).toBe(folders[1]);
    expect(passedOver.map(({ folder }) => folder)).toEqual([newest]);
    expect(passedOver[0]?.reason).toMatch(reason);
    expect(await failure(verifyCheckpoint(newest))).toBe(passedOver[0]?.reason);
  });

  function edit(folder: string, change: (json: Record<string, unknown>) => unknown): void {
    const path = join(folder, 'state.json');
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
  }

  test('all of them damaged', async () => {
    const { root, folders } = await three();
    for (const folder of folders) flip(join(folder, 'model.safetensors'));
    const { checkpoint, passedOver } = await findLatestValid(root, 'cae');
    expect(checkpoint).toBeUndefined();
    expect(passedOver.length).toBe(3);
  });

  test('other experiments and other things are not looked at', async () => {
    const { root } = await three();
    await saveCheckpoint({ ...optionsOf(root, 50), expName: 'cae_checkpoint-9' });
    await saveCheckpoint({ ...optionsOf(root, 60), expName: 'other' });
    mkdirSync(join(root, 'log'));
    writeFileSync(join(root, 'cae_checkpoint-77'), 'a file');
    const { checkpoint, passedOver } = await findLatestValid(root, 'cae');
    expect([checkpoint?.globalStep, passedOver]).toEqual([11, []]);
    expect(await pruneCheckpoints(root, 'cae', 1)).toHaveLength(2);
    expect(readdirSync(root)).toEqual(
      expect.arrayContaining([
        'cae_checkpoint-9_checkpoint-50',
        'other_checkpoint-60',
        'log',
        'cae_checkpoint-77',
      ]),
    );
  });

  test('pruning keeps the newest valid one, and what cannot be dated', async () => {
    const { root, folders } = await three();
    const [oldest, middle, newest] = folders as [string, string, string];
    flip(join(newest, 'model.safetensors'));
    flip(join(middle, 'model.safetensors'));
    expect(await pruneCheckpoints(root, 'cae', 1)).toEqual([middle]);
    expect(await stepOf(root)).toBe(9);
    rmSync(join(newest, 'state.json'));
    await saveCheckpoint(optionsOf(root, 10, 10, { keepLast: 1 }));
    expect(existsSync(oldest)).toBe(false);
    expect(existsSync(newest)).toBe(true);
  });
});

describe('after a kill', () => {
  test('half-written folders are never taken and are cleared', async () => {
    const root = temporaryFolder();
    const folder = await saveCheckpoint(optionsOf(root, 5));
    for (const pid of [deadPid, process.pid]) {
      const half = join(root, `.cae_checkpoint-6.tmp-${pid}`);
      cpSync(folder, half, { recursive: true });
      truncateSync(join(half, 'model.safetensors'), 9);
    }
    mkdirSync(join(root, `.cae_checkpoint-4.del-${deadPid}`));
    expect(await stepOf(root)).toBe(5);
    expect((await cleanLeftovers(root, 'cae')).length).toBe(3);
    expect(readdirSync(root)).toEqual(['cae_checkpoint-5']);
  });

  test('what belongs to the living, to others or to the user stays', async () => {
    const root = temporaryFolder();
    const names = [
      `.cae_checkpoint-6.tmp-${process.ppid}`,
      `.other_checkpoint-6.tmp-${deadPid}`,
      `.cae_checkpoint-6.bak-${deadPid}`,
      `.cae.tmp-${deadPid}`,
      `cae_checkpoint-6.tmp-${deadPid}`,
      `.cae_checkpoint-6.tmp-`,
    ];
    for (const name of names) mkdirSync(join(root, name));
    expect(await cleanLeftovers(root, 'cae')).toEqual([]);
    expect(readdirSync(root).sort()).toEqual([...names].sort());
  });

  test('a checkpoint moved aside and never replaced counts, and is put back', async () => {
    const root = temporaryFolder();
    const folder = await saveCheckpoint(optionsOf(root, 5, 'latest'));
    const aside = join(root, `.cae_checkpoint-latest.old-${deadPid}`);
    renameSync(folder, aside);
    expect((await findLatestValid(root, 'cae')).checkpoint?.folder).toBe(aside);
    await cleanLeftovers(root, 'cae');
    expect(readdirSync(root)).toEqual(['cae_checkpoint-latest']);
    expect(await stepOf(root)).toBe(5);
    // Killed after the new one came in, before the old one went.
    cpSync(folder, aside, { recursive: true });
    await saveCheckpoint(optionsOf(root, 6, 'latest'));
    await cleanLeftovers(root, 'cae');
    expect(readdirSync(root)).toEqual(['cae_checkpoint-latest']);
    expect(await stepOf(root)).toBe(6);
  });

  test('a save under way is not cleared', async () => {
    const root = temporaryFolder();
    const [model] = optionsOf(root, 1).files as [SaveOptions['files'][0]];
    let cleared: string[] | undefined;
    const files = [
      model,
      {
        name: 'other.safetensors',
        write: async (path: string) => {
          cleared = await cleanLeftovers(root, 'cae');
          return await model.write(path);
        },
      },
    ];
    const twice = saveCheckpoint(optionsOf(root, 1, 1, { files }));
    await expect(saveCheckpoint(optionsOf(root, 1))).rejects.toThrow(/already being saved/);
    await verifyCheckpoint(await twice);
    expect(cleared).toEqual([]);
  });
});
