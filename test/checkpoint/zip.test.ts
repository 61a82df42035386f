import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PositionedFile } from '../../lib/checkpoint/positioned-file.js';
import { readZipDirectory } from '../../lib/checkpoint/zip.js';
import {
  bytesOf,
  makeZip,
  mutate,
  seededRandom,
  temporaryFolder,
  userErrorOf,
  type ZipPart,
} from './support.js';

const text = bytesOf('some text, '.repeat(50));
const parts: ZipPart[] = [
  { name: 'a/data.pkl', data: text },
  { name: 'a/data/0', data: Uint8Array.of(1, 2, 3, 4) },
  { name: 'a/packed', data: text, deflate: true },
  { name: 'a/empty', data: new Uint8Array(0) },
];

function save(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), 'x.zip');
  writeFileSync(path, bytes);
  return path;
}

/** Every entry's bytes. */
function readAll(path: string): Record<string, Uint8Array> {
  const entries = readZipDirectory(new PositionedFile(path));
  return Object.fromEntries([...entries].map(([name, entry]) => [name, entry.read()]));
}

const refusal = (bytes: Uint8Array): string | undefined => userErrorOf(() => readAll(save(bytes)));

describe('zip archives', () => {
  test.each([false, true])('stored and deflated entries, zip64 %s', (zip64) => {
    const path = save(makeZip(parts, zip64));
    expect(readAll(path)).toEqual(Object.fromEntries(parts.map(({ name, data }) => [name, data])));
    const entries = readZipDirectory(new PositionedFile(path));
    expect(entries.get('a/data/0')?.read(1, 2)).toEqual(Uint8Array.of(2, 3));
    expect(entries.get('a/packed')?.read(5, 4)).toEqual(bytesOf('text'));
    expect(entries.get('a/data/0')?.size).toBe(4);
  });

  test('a flipped byte fails the checksum, also where only a part is read', () => {
    const bytes = makeZip([{ name: 'd', data: Uint8Array.of(9, 9, 9) }]);
    bytes[30 + 1 + 2] = 8; // behind the local header and the name
    const path = save(bytes);
    const entry = readZipDirectory(new PositionedFile(path)).get('d');
    expect(userErrorOf(() => entry?.read())).toMatch(/record "d" fails its checksum/);
    expect(userErrorOf(() => entry?.read(0, 1))).toMatch(/record "d" fails its checksum/);
  });

  test('a range outside the entry', () => {
    const entry = readZipDirectory(new PositionedFile(save(makeZip(parts)))).get('a/data/0');
    expect(userErrorOf(() => entry?.read(2, 3))).toContain('has 4 bytes where 5 are needed');
  });

  test.each<[string, ZipPart[], RegExp]>([
    ['a name with ..', [{ name: '../x', data: text }], /leaves its folder/],
    ['an absolute name', [{ name: '/etc/passwd', data: text }], /leaves its folder/],
    ['a backslash', [{ name: 'a\\b', data: text }], /leaves its folder/],
    ['a name with NUL', [{ name: 'a\0b', data: text }], /leaves its folder/],
    ['a name twice', [parts[0] as ZipPart, parts[0] as ZipPart], /listed twice/],
    ['encryption', [{ name: 'a', data: text, claim: { flags: 1 } }], /encrypted/],
    ['another method', [{ name: 'a', data: text, claim: { method: 12 } }], /method 12/],
    ['a size that lies', [{ name: 'a', data: text, claim: { size: 99_999 } }], /reaches into/],
    ['an inflated size that lies', [{ name: 'a', data: text, deflate: true, claim: { size: 3 } }], /inflate/],
    [
      'an inflated size of 4 GB',
      [{ name: 'a', data: text, deflate: true, claim: { size: 0xfffffffe } }],
      /too many to inflate/,
    ],
    ['an offset that lies', [{ name: 'a', data: text, claim: { offset: 3 } }], /does not match|reaches into/],
    [
      'overlapping entries',
      [
        { name: 'a', data: text },
        { name: 'b', data: text, claim: { offset: 0 } },
      ],
      /reaches into/,
    ],
    [
      'a name that is not the directory’s',
      [{ name: 'a', data: text, claim: { offset: 1 } }],
      /does not match|reaches into/,
    ],
  ])('%s', (_, hostile, message) => {
    expect(refusal(makeZip(hostile))).toMatch(message);
  });

  test('a bomb inflates no further than it claims', () => {
    const zeros = new Uint8Array(50_000_000);
    expect(refusal(makeZip([{ name: 'a', data: zeros, deflate: true, claim: { size: 1000 } }]))).toMatch(
      /inflate/,
    );
  });

  test.each([false, true])('cut at every byte, zip64 %s', (zip64) => {
    const bytes = makeZip([{ name: 'a', data: bytesOf('text') }], zip64);
    const path = save(bytes);
    for (let length = 0; length < bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length));
      expect(userErrorOf(() => readAll(path))).toContain(path);
    }
  });

  test('1000 mutated archives give their entries or a UserError, nothing else', () => {
    const random = seededRandom(5);
    const path = save(new Uint8Array(0));
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      const original = makeZip(parts, i % 2 === 1);
      writeFileSync(path, mutate(original, random));
      if (userErrorOf(() => readAll(path)) !== undefined) refused++;
    }
    expect(refused).toBeGreaterThan(700);
  });
});
