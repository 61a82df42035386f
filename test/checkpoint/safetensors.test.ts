import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { StoredDtype } from '../../lib/checkpoint/dtype.js';
import { parseHeader } from '../../lib/checkpoint/safetensors-header.js';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { type SafetensorsEntry, writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { fixture, fixtureFolder } from '../fixtures.js';
import { bytesOf, mutate, seededRandom, temporaryFolder, u64, userErrorOf } from './support.js';

function entry(name: string, dtype: StoredDtype, shape: number[], data: ArrayBufferView): SafetensorsEntry {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dtype, shape, byteLength: bytes.byteLength, read: () => bytes };
}

/** A file of the given header text and data bytes. */
function fileOf(header: unknown, data: number, length?: number | bigint): string {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const path = join(temporaryFolder(), 'x.safetensors');
  writeFileSync(
    path,
    bytesOf(u64(length ?? Buffer.byteLength(text)), Buffer.from(text), new Uint8Array(data)),
  );
  return path;
}

function openError(path: string): string | undefined {
  return userErrorOf(() => SafetensorsFile.open(path).close());
}

describe('safetensors', () => {
  test('every dtype comes back bit for bit, in the order given', async () => {
    const path = join(temporaryFolder(), 'x.safetensors');
    const random = seededRandom(7);
    const noise = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, () => random(256));
    const entries = [
      entry('z', 'F64', [2, 3], noise(48)),
      entry('10', 'F32', [], noise(4)),
      entry('2', 'F16', [5], noise(10)),
      entry('b.weight', 'BF16', [3, 1], noise(6)),
      entry('i64', 'I64', [2], noise(16)),
      entry('i32', 'I32', [1, 1, 1], noise(4)),
      entry('i16', 'I16', [3], noise(6)),
      entry('i8', 'I8', [7], noise(7)),
      entry('u8', 'U8', [3], noise(3)),
      entry('empty', 'F32', [0, 4], noise(0)),
      entry('__proto__', 'BOOL', [2], Uint8Array.of(0, 1)),
    ];
    const metadata = { kind: 'test', config: '{"a":"ü\\n"}' };
    const digest = await writeSafetensors(path, entries, metadata);
    const written = readFileSync(path);
    expect(digest).toEqual({
      bytes: written.length,
      sha256: createHash('sha256').update(written).digest('hex'),
    });
    expect(Number(written.readBigUInt64LE(0)) % 8).toBe(0);
    expect(readdirSync(join(path, '..'))).toEqual(['x.safetensors']);
    const file = SafetensorsFile.open(path);
    expect(file.names()).toEqual(entries.map(({ name }) => name));
    expect({ ...file.metadata }).toEqual(metadata);
    for (const { name, dtype, shape, byteLength, read } of entries) {
      expect(file.info(name)).toEqual({ dtype, shape, byteLength });
      expect(file.read(name)).toEqual(await read());
      expect(bytesOf(...file.readChunks(name, 3))).toEqual(await read());
    }
    for (const bytes of [0, -1, 1.5, Number.NaN]) {
      expect(() => file.readChunks(file.names()[0]!, bytes).next()).toThrow(/readChunks: pieces of .* bytes/);
    }
    file.close();
    file.close();
    expect(() => file.read('z')).toThrow(/closed/);
  });

  test('typed reading converts exactly', async () => {
    const path = join(temporaryFolder(), 'x.safetensors');
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x8000, 0x7bff, 0x03ff, 0x7c00, 0xfc00, 0x7e00);
    await writeSafetensors(path, [
      entry('f16', 'F16', [9], halves),
      entry('bf16', 'BF16', [3], Uint16Array.of(0x3f80, 0xc049, 0x7f80)),
      entry('f64', 'F64', [2], Float64Array.of(0.1, -3)),
      entry('f32', 'F32', [2], Float32Array.of(0.1, -3)),
      entry('i64', 'I64', [2], BigInt64Array.of(-5n, 2n ** 31n - 1n)),
      entry('big', 'I64', [1], BigInt64Array.of(2n ** 31n)),
      entry('i16', 'I16', [2], Int16Array.of(-5, 7)),
      entry('i8', 'I8', [1], Int8Array.of(-5)),
      entry('u8', 'U8', [1], Uint8Array.of(200)),
      entry('bool', 'BOOL', [2], Uint8Array.of(1, 0)),
      entry('i32', 'I32', [1], Int32Array.of(-9)),
    ]);
    const file = SafetensorsFile.open(path);
    expect([...file.readFloat32('f16')]).toEqual([
      1,
      -2,
      2 ** -24,
      -0,
      65504,
      1023 * 2 ** -24,
      Infinity,
      -Infinity,
      NaN,
    ]);
    expect([...file.readFloat32('bf16')]).toEqual([1, -3.140625, Infinity]);
    expect([...file.readFloat32('f64')]).toEqual([Math.fround(0.1), -3]);
    expect([...file.readFloat32('f32')]).toEqual([Math.fround(0.1), -3]);
    expect([...file.readFloat64('f64')]).toEqual([0.1, -3]);
    expect([...file.readFloat64('bf16')]).toEqual([1, -3.140625, Infinity]);
    expect([...file.readInt32('i64')]).toEqual([-5, 2 ** 31 - 1]);
    expect([...file.readInt32('i16')]).toEqual([-5, 7]);
    expect([...file.readInt32('i8')]).toEqual([-5]);
    expect([...file.readInt32('u8')]).toEqual([200]);
    expect([...file.readInt32('bool')]).toEqual([1, 0]);
    expect([...file.readInt32('i32')]).toEqual([-9]);
    expect(userErrorOf(() => file.readInt32('big'))).toContain('"big" (I64)');
    expect(userErrorOf(() => file.readInt32('f32'))).toContain('"f32" (F32)');
    expect(userErrorOf(() => file.readFloat32('i32'))).toContain('"i32" (I32)');
    expect(userErrorOf(() => file.read('absent'))).toContain('no tensor "absent"');
    file.close();
  });

  test('all golden fixtures open, and copying one gives the same tensors', async () => {
    const names = readdirSync(fixtureFolder).filter((name) => name.endsWith('.safetensors'));
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const file = SafetensorsFile.open(fixture(name));
      expect(file.names().length).toBeGreaterThan(0);
      file.close();
    }
    const source = SafetensorsFile.open(fixture('cae_step.safetensors'));
    expect(source.metadata['kind']).toBe('cae-step');
    const path = join(temporaryFolder(), 'copy.safetensors');
    const entries = source
      .names()
      .map((name) => ({ name, ...source.info(name), read: () => source.read(name) }));
    await writeSafetensors(path, entries, source.metadata);
    const copy = SafetensorsFile.open(path);
    expect(copy.names()).toEqual(source.names());
    for (const name of source.names()) expect(Buffer.compare(copy.read(name), source.read(name))).toBe(0);
    source.close();
    copy.close();
  });

  test('a tensor behind 5 GiB is read without the 5 GiB', () => {
    const path = join(temporaryFolder(), 'sparse.safetensors');
    const huge = 5 * 2 ** 30;
    const text = JSON.stringify({
      huge: { dtype: 'F32', shape: [5, 2 ** 28], data_offsets: [0, huge] },
      small: { dtype: 'I32', shape: [2], data_offsets: [huge, huge + 8] },
    });
    const descriptor = openSync(path, 'w');
    writeSync(descriptor, bytesOf(u64(text.length), text));
    ftruncateSync(descriptor, 8 + text.length + huge + 8);
    writeSync(descriptor, new Uint8Array(Int32Array.of(41, -42).buffer), 0, 8, 8 + text.length + huge);
    closeSync(descriptor);
    const file = SafetensorsFile.open(path);
    expect([...file.readInt32('small')]).toEqual([41, -42]);
    expect(file.info('huge').byteLength).toBe(huge);
    expect(userErrorOf(() => file.read('huge'))).toContain('chunks');
    const first = file.readChunks('huge', 1024).next().value as Uint8Array;
    expect(first.byteLength).toBe(1024);
    file.close();
  });
});

describe('hostile safetensors', () => {
  const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]): object => ({
    dtype: 'F32',
    shape,
    data_offsets: [begin, end],
  });

  test.each<[string, unknown, number, RegExp]>([
    ['overlap', { a: f32(0, 8), b: f32(4, 12) }, 12, /"b" overlaps/],
    ['hole', { a: f32(0, 8), b: f32(12, 16) }, 16, /"b" leaves a hole of 4/],
    ['hole at the start', { a: f32(4, 8) }, 8, /"a" leaves a hole of 4/],
    ['bytes after the last', { a: f32(0, 8) }, 9, /1 bytes follow the last tensor/],
    ['past the end', { a: f32(0, 8) }, 7, /"a" ends at byte 8/],
    ['negative', { a: f32(-4, 4, [2]) }, 4, /"a" has impossible offsets/],
    ['backwards', { a: f32(8, 0, [2]) }, 8, /"a" has impossible offsets/],
    [
      'fractional',
      { a: { dtype: 'F32', shape: [1], data_offsets: [0, 4.5] } },
      4,
      /"a" has impossible offsets/,
    ],
    ['beyond 2^53', { a: f32(0, 2 ** 60, [2 ** 58]) }, 4, /"a" has/],
    ['shape overflow', { a: f32(0, 4, [2 ** 40, 2 ** 40]) }, 4, /"a" has the impossible shape/],
    ['shape wraps around to 0', { a: f32(0, 0, [2 ** 32, 2 ** 32]) }, 0, /"a" has the impossible shape/],
    ['negative shape', { a: f32(0, 4, [-1, -1]) }, 4, /"a" has the impossible shape/],
    ['shape of text', { a: f32(0, 4, ['1']) }, 4, /"a" has the impossible shape/],
    ['no shape', { a: { dtype: 'F32', data_offsets: [0, 4] } }, 4, /"a" has no shape/],
    ['size is not shape times dtype', { a: f32(0, 8, [1]) }, 8, /"a" takes 8 bytes where F32 \[1\] needs 4/],
    [
      'unknown dtype',
      { a: { dtype: 'F8_E4M3', shape: [4], data_offsets: [0, 4] } },
      4,
      /"a" has dtype "F8_E4M3"/,
    ],
    ['inherited dtype', { a: { dtype: 'toString', shape: [4], data_offsets: [0, 4] } }, 4, /"a" has dtype/],
    ['null tensor', { a: null }, 0, /"a" has no description/],
    [
      'three offsets',
      { a: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 8] } },
      4,
      /"a" has no data_offsets/,
    ],
    [
      'name twice',
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
      2,
      /hole/,
    ],
    ['metadata of numbers', { __metadata__: { a: 1 } }, 0, /metadata "a" is not a string/],
    ['metadata a list', { __metadata__: [] }, 0, /__metadata__/],
    ['a list', [], 0, /not a JSON object/],
    ['no JSON', '{"a":', 0, /not JSON/],
    ['deep JSON', '['.repeat(200_000), 0, /JSON/],
  ])('%s', (_, header, data, message) => {
    const path = fileOf(header, data);
    const error = openError(path);
    expect(error).toMatch(message);
    expect(error).toContain(path);
  });

  test('a length field that lies', () => {
    expect(openError(fileOf({}, 0, 3))).toContain('claims a header of 3 bytes but has only 10 in all');
    expect(openError(fileOf({}, 0, 50_000))).toContain('claims a header of 50000 bytes');
    expect(openError(fileOf({}, 0, 2n ** 63n))).toContain('claims a header of 9223372036854775808');
    expect(openError(fileOf({}, 0, 100_000_001))).toContain('100000001');
    expect(openError(fileOf('{}', 0, 1))).toMatch(/not JSON/);
  });

  test('not a file to read', () => {
    const folder = temporaryFolder();
    expect(openError(join(folder, 'absent'))).toMatch(/absent: it does not exist.*ENOENT/);
    expect(openError(folder)).toMatch(/it is a folder/);
    expect(openError('/dev/null')).toMatch(/not a regular file/);
    const short = join(folder, 'short');
    writeFileSync(short, 'abc');
    expect(openError(short)).toMatch(/too few/);
    expect(openError(join(short, 'below'))).toMatch(/ENOTDIR/);
  });

  test('5000 mutated headers, 500 mutated files give their tensors or a UserError, nothing else', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'x.safetensors');
    await writeSafetensors(
      path,
      [
        entry('a.weight', 'F32', [2, 2], Float32Array.of(1, 2, 3, 4)),
        entry('a.bias', 'F16', [3], Uint16Array.of(1, 2, 3)),
        entry('n', 'I64', [], BigInt64Array.of(9n)),
      ],
      { config: '{}' },
    );
    const original = new Uint8Array(readFileSync(path));
    const random = seededRandom(99);
    let refused = 0;
    const header = original.subarray(8, 8 + Number(Buffer.from(original).readBigUInt64LE(0)));
    const dataBytes = original.length - 8 - header.length;
    for (let i = 0; i < 5000; i++) {
      if (userErrorOf(() => parseHeader(path, mutate(header, random), dataBytes)) !== undefined) refused++;
    }
    expect(refused).toBeGreaterThan(2500);
    for (let i = 0; i < 500; i++) {
      writeFileSync(path, mutate(original, random));
      const error = userErrorOf(() => {
        using file = SafetensorsFile.open(path);
        for (const name of file.names()) file.read(name);
      });
      if (error !== undefined) refused++;
    }
    expect(refused).toBeGreaterThan(2750);
  });
});
