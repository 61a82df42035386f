import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageFolder } from '../../lib/data/image-folder.js';
import type { Loader } from '../../lib/data/loader.js';
import { UserError } from '../../lib/errors.js';
import { testPicture } from '../native/image-support.js';
import { temporaryFolder, testLoader, writeImages } from './support.js';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(async () => {
  folder = temporaryFolder();
  await writeImages(folder.path, 120);
});
afterEach(() => folder.remove());

async function truncate(images: ImageFolder, index: number): Promise<string> {
  const bytes = await testPicture(40, 50).jpeg().toBuffer();
  writeFileSync(images.path(index), bytes.subarray(0, bytes.length - 60));
  return images.path(index);
}

/** Runs an epoch; every file of it, with the bytes of each of its samples. */
async function epochOf(loader: Loader): Promise<Map<string, { files: string[]; bytes: string[] }>> {
  const samples = { files: [] as string[], bytes: [] as string[] };
  for (let i = 0; i < loader.batchesPerEpoch; i++) {
    const batch = await loader.next();
    for (const [slot, file] of batch.files.entries()) {
      samples.files.push(file);
      samples.bytes.push(
        Buffer.from(batch.views[0]!.subarray(768 * slot, 768 * (slot + 1))).toString('base64'),
      );
    }
  }
  return new Map([['all', samples]]);
}

describe('--on_bad_image stop', () => {
  it('names a truncated JPEG, in the batch that holds it and not before', async () => {
    const images = new ImageFolder(folder.path);
    const bad = await truncate(images, 77);
    using loader = testLoader(images, { prefetchBatches: 4, onBadImage: 'stop' });
    const seen: string[] = [];
    const run = async () => {
      for (;;) seen.push(...(await loader.next()).files);
    };
    const error = await run().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toBe(
      `cannot read image ${bad}: the file is truncated: it ends before its picture does; ` +
        'replace or remove it, or skip such files with --on_bad_image skip',
    );
    expect(seen).not.toContain(bad);
    expect(seen.length).toBe(4 * loader.position.batch);
    // It stays there: the same again, and fine once the file is mended.
    await expect(loader.next()).rejects.toThrow(bad);
    await testPicture(40, 50).jpeg().toFile(bad);
    expect((await loader.next()).files).toContain(bad);
  });

  it.each([
    ['a text file', 'no picture\n', /it is no picture in a known format/],
    ['an empty file', '', /the file is empty/],
  ])('names %s called .jpg', async (_, content, reason) => {
    const images = new ImageFolder(folder.path);
    writeFileSync(images.path(3), content);
    using loader = testLoader(images, { shuffle: false });
    const error = await loader.next().catch((e: unknown) => e as Error);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toContain(images.path(3));
    expect((error as Error).message).toMatch(reason);
    expect((error as Error).message).not.toContain('\n');
    // This loader was not told of the flag, as those of evaluation are not.
    expect((error as Error).message).toMatch(/; replace or remove it$/);
  });
});

describe('--on_bad_image skip', () => {
  it('puts another image in its place, logs it once and counts it', async () => {
    const images = new ImageFolder(folder.path);
    using clean = testLoader(images);
    const before = (await epochOf(clean)).get('all')!;
    const bad = await truncate(images, 5);
    const lines: string[] = [];
    using loader = testLoader(images, { onBadImage: 'skip', log: (line) => lines.push(line) });
    const after = (await epochOf(loader)).get('all')!;
    await epochOf(loader);
    expect(lines).toEqual([`skipped image ${bad}: the file is truncated: it ends before its picture does`]);
    expect(loader.badImageCount).toBe(1);
    const slot = before.files.indexOf(bad);
    expect(after.files).toHaveLength(120);
    expect(after.files).not.toContain(bad);
    for (const [i, file] of before.files.entries()) {
      if (i === slot) continue;
      expect(after.files[i]).toBe(file);
      expect(after.bytes[i]).toBe(before.bytes[i]);
    }
    // The place is taken by the same image again, whatever was known when.
    using again = testLoader(images, { onBadImage: 'skip', log: () => {} });
    again.seek(1, 0);
    await epochOf(again);
    again.seek(0, 0);
    expect((await epochOf(again)).get('all')).toEqual(after);
  });

  it('refuses to go past 1 % of the data set', async () => {
    const images = new ImageFolder(folder.path);
    await truncate(images, 5);
    rmSync(images.path(50));
    const lines: string[] = [];
    using loader = testLoader(images, { onBadImage: 'skip', log: (line) => lines.push(line) });
    const error = await epochOf(loader).catch((e: unknown) => e as Error);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(/^2 of 120 images cannot be read, more than 1 %/);
    expect(lines).toHaveLength(2);
  });
});
