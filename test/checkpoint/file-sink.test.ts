import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { digestFile, writeFileWhole } from '../../lib/checkpoint/file-sink.js';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'file-sink-'));
  folders.push(folder);
  return folder;
}

it('two writes of one path at once: the file is one of them as a whole, and nothing else is left', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'numbers');
  const write = (value: number, pieces: number) =>
    writeFileWhole(path, async (sink) => {
      for (let i = 0; i < pieces; i++) {
        await sink.write(new Uint8Array(1000).fill(value));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
  const digests = await Promise.all([write(1, 3), write(2, 9), write(3, 6)]);
  expect(digests.map(({ bytes }) => bytes)).toEqual([3000, 9000, 6000]);
  const bytes = readFileSync(path);
  expect(new Set(bytes).size).toBe(1);
  expect(digests).toContainEqual(await digestFile(path));
  expect(readdirSync(folder)).toEqual(['numbers']);
});

it('one of two writes fails: the other one counts', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'numbers');
  const failing = writeFileWhole(path, async (sink) => {
    await sink.write(Uint8Array.of(1));
    throw new RangeError('halfway');
  });
  const going = writeFileWhole(path, async (sink) => {
    await expect(failing).rejects.toThrow(/halfway/);
    expect(existsSync(path)).toBe(false);
    await sink.write(Uint8Array.of(2));
  });
  await going;
  expect([...readFileSync(path)]).toEqual([2]);
  expect(readdirSync(folder)).toEqual(['numbers']);
});

it('what a killed process left beside the file is no hindrance', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, `.numbers.tmp-${process.pid}`), 'half');
  await writeFileWhole(join(folder, 'numbers'), (sink) => sink.write(Uint8Array.of(2)));
  expect([...readFileSync(join(folder, 'numbers'))]).toEqual([2]);
});
