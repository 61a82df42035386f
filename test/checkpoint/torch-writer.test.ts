import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPickle } from '../../lib/checkpoint/pickle.js';
import type { PickleValue } from '../../lib/checkpoint/pickle-values.js';
import {
  PickleFloat,
  type PickleSource,
  PickleTuple,
  writePickle,
} from '../../lib/checkpoint/pickle-writer.js';
import { PositionedFile } from '../../lib/checkpoint/positioned-file.js';
import { stateDictOf } from '../../lib/checkpoint/state-dict.js';
import { tensorOfBytes } from '../../lib/checkpoint/stored-tensor.js';
import { readTorchArchive } from '../../lib/checkpoint/torch-archive.js';
import { findTorchGlobal } from '../../lib/checkpoint/torch-globals.js';
import { type TorchStorages, writeTorchArchive } from '../../lib/checkpoint/torch-writer.js';
import { openWeights } from '../../lib/checkpoint/weights-file.js';
import { readZipDirectory } from '../../lib/checkpoint/zip.js';
import { UserError } from '../../lib/errors.js';
import { bytesOf, temporaryFolder } from './support.js';

function reread(value: PickleSource): PickleValue {
  const bytes = writePickle(value, 'x');
  return readPickle(bytes, { source: 'x', findGlobal: findTorchGlobal(false) }).value;
}

describe('pickles written', () => {
  test.each<[string, PickleSource]>([
    ['nothing', null],
    ['flags', [true, false]],
    [
      'whole numbers',
      [0, 255, 256, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, -128, -129],
    ],
    ['large integers', [2n ** 64n, -(2n ** 64n), 2n ** 1000n + 1n, -(2n ** 63n) - 1n]],
    ['fractions', [0.5, -1e-300, 1 / 3, Number.POSITIVE_INFINITY, Number.NaN, 1e300]],
    ['text', ['', 'é…😀', 'x'.repeat(300)]],
    ['bytes', Uint8Array.from([0, 127, 128, 255])],
    [
      'containers',
      new Map<PickleSource, PickleSource>([
        ['a', [[], [1]]],
        [3, new Map()],
      ]),
    ],
    ['more than 256 remembered values', Array.from({ length: 600 }, (_, i) => [`name ${i}`])],
  ])('%s come back', (_, value) => {
    expect(reread(value)).toEqual(value);
  });

  test('floats and tuples keep their kind', () => {
    expect([...writePickle(new PickleFloat(1), 'x').subarray(2, 5)]).toEqual([...bytesOf('G', 0x3f, 0xf0)]);
    expect(Buffer.from(writePickle(new PickleTuple([1, 2]), 'x')).toString('latin1')).toBe(
      '\x80\x02K\x01K\x02\x86q\x00.',
    );
    expect(reread(new PickleTuple([1, 2, 3, 4]))).toEqual([1, 2, 3, 4]);
    expect(Object.is((reread([-0]) as number[])[0], -0)).toBe(true);
  });

  test('shared parts stay shared, loops stay loops, endless nesting is refused', () => {
    const part = [1];
    const [a, b] = reread([part, part]) as [PickleValue, PickleValue];
    expect(a).toBe(b);
    const loop: PickleSource[] = [];
    loop.push(loop);
    const again = reread(loop) as PickleValue[];
    expect(again[0]).toBe(again);
    let deep: PickleSource = [];
    for (let i = 0; i < 1000; i++) deep = [deep];
    expect(() => writePickle(deep, 'x')).toThrow(UserError);
  });
});

describe('archives written', () => {
  const bf16 = tensorOfBytes('BF16', [2, 3], Uint16Array.from([1, 2, 3, 0x3f80, 5, 6]));
  const half = tensorOfBytes('F16', [4], Uint16Array.from([0x3c00, 1, 2, 3]));
  const float = tensorOfBytes('F32', [2, 2], Float32Array.from([1, -0, Number.NaN, 4]));
  const scalar = tensorOfBytes('I64', [], BigInt64Array.from([-5n]));
  const empty = tensorOfBytes('F32', [0, 3], new Float32Array(0));
  const flags = tensorOfBytes('BOOL', [3], Uint8Array.from([1, 0, 1]));
  const tensors = new Map([
    ['a.weight', float],
    ['b', bf16],
    ['c', half],
    ['again.weight', float],
    ['step', scalar],
    ['none', empty],
    ['flags', flags],
  ]);

  async function write(): Promise<string> {
    const path = join(temporaryFolder(), 'a model.pth');
    await writeTorchArchive(
      path,
      (storages: TorchStorages) =>
        new Map<PickleSource, PickleSource>([
          ['model', storages.stateDict(tensors)],
          ['epoch', 3],
        ]),
    );
    return path;
  }

  test('every dtype comes back bit-exact, in order, with what was shared shared', async () => {
    const path = await write();
    using weights = await openWeights(path);
    expect([...weights.tensors.keys()]).toEqual([...tensors.keys()]);
    for (const [name, tensor] of tensors) {
      const read = weights.tensors.get(name)!;
      expect([name, read.dtype, read.shape]).toEqual([name, tensor.dtype, tensor.shape]);
      expect(Buffer.compare(read.read(), tensor.read())).toBe(0);
    }
    expect(weights.tensors.get('again.weight')).toBe(weights.tensors.get('a.weight'));
    expect((weights.tree as Map<string, PickleValue>).get('epoch')).toBe(3);
  });

  test('the archive is laid out as PyTorch lays it out', async () => {
    const path = await write();
    const file = new PositionedFile(path);
    const entries = readZipDirectory(file);
    expect([...entries.keys()]).toEqual(
      [
        'data.pkl',
        '.format_version',
        '.storage_alignment',
        'byteorder',
        ...[0, 1, 2, 3, 4, 5].map((key) => `data/${key}`),
        'version',
        '.data/serialization_id',
      ].map((name) => `a_model/${name}`),
    );
    const text = (name: string): string => Buffer.from(entries.get(`a_model/${name}`)!.read()).toString();
    expect([text('version'), text('byteorder')]).toEqual(['3\n', 'little']);
    expect(text('.data/serialization_id')).toMatch(/^\d{40}$/);
    // The bytes of each storage start at a multiple of 64.
    const bytes = readFileSync(path);
    for (let at = bytes.indexOf('PK\x03\x04'); at >= 0; at = bytes.indexOf('PK\x03\x04', at + 4)) {
      expect((at + 30 + bytes.readUInt16LE(at + 26) + bytes.readUInt16LE(at + 28)) % 64).toBe(0);
    }
    expect(Buffer.compare(readFileSync(await write()), bytes)).toBe(0);
  });

  test('a tensor of the wrong size leaves nothing behind', async () => {
    const path = join(temporaryFolder(), 'x.pth');
    const wrong = { ...float, read: () => new Uint8Array(3) };
    await expect(writeTorchArchive(path, (storages) => storages.tensor(wrong))).rejects.toThrow(
      /gave 3 bytes/,
    );
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  test('stateDictOf looks where it is told', async () => {
    const path = join(temporaryFolder(), 'x.pth');
    await writeTorchArchive(
      path,
      (storages) =>
        new Map<PickleSource, PickleSource>([
          ['model', storages.stateDict(new Map([['a', float]]))],
          ['model_ema', storages.stateDict(new Map([['b', half]]))],
        ]),
    );
    expect([...stateDictOf(readTorchArchive(path), path).keys()]).toEqual(['a']);
    expect([...stateDictOf(readTorchArchive(path), path, ['model_ema']).keys()]).toEqual(['b']);
    using weights = await openWeights(path, 'ema|model_ema');
    expect([...weights.tensors.keys()]).toEqual(['b']);
  });
});
