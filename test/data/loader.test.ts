import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageFolder } from '../../lib/data/image-folder.js';
import type { Batch, Loader } from '../../lib/data/loader.js';
import { createMaskGenerator } from '../../lib/data/masks.js';
import { createPretrainLoader } from '../../lib/data/pretrain-transform.js';
import { type ImageTransform, nativeImages } from '../../lib/native/image.js';
import { temporaryFolder, testAugmenter, testLoader, writeImages } from './support.js';

const { path: root, remove } = temporaryFolder();
let images: ImageFolder;
beforeAll(async () => {
  images = await writeImages(root, 22);
});
afterAll(remove);

interface Copy {
  epoch: number;
  batch: number;
  globalIndex: number;
  files: readonly string[];
  labels: number[];
  bytes: string;
}

/** A batch's content, which outlives its release. */
function copy({ epoch, batch, globalIndex, files, labels, views, masks }: Batch): Copy {
  const bytes = Buffer.concat([...views, masks]).toString('base64');
  return { epoch, batch, globalIndex, files, labels: [...labels], bytes };
}

async function take(loader: Loader, count: number): Promise<Copy[]> {
  const taken: Copy[] = [];
  for (let i = 0; i < count; i++) {
    const batch = await loader.next();
    taken.push(copy(batch));
    batch.release();
  }
  return taken;
}

async function firstBatches(count: number, changes: Parameters<typeof testLoader>[1] = {}): Promise<Copy[]> {
  using loader = testLoader(images, changes);
  return await take(loader, count);
}

describe('Loader', () => {
  it('yields every image of an epoch once, in order, and goes on to the next epoch', async () => {
    const batches = await firstBatches(11);
    expect(batches.map(({ epoch, batch }) => [epoch, batch])).toEqual([
      ...[0, 1, 2, 3, 4].map((batch) => [0, batch]),
      ...[0, 1, 2, 3, 4].map((batch) => [1, batch]),
      [2, 0],
    ]);
    expect(batches.map(({ globalIndex }) => globalIndex)).toEqual([...batches.keys()]);
    const epoch = batches.slice(0, 5).flatMap(({ files }) => files);
    expect(new Set(epoch).size).toBe(20);
    for (const { files, labels } of batches) {
      expect(labels).toEqual(files.map((file) => (file.includes('/ants/') ? 0 : 1)));
    }
  });

  it('holds what the native core makes of each file', async () => {
    using loader = testLoader(images);
    const batch = await loader.next();
    expect(batch.views.map((view) => view.length)).toEqual([4 * 16 * 16 * 3, 4 * 8 * 8 * 3]);
    const index = Array.from({ length: images.length }, (_, i) => i).find(
      (i) => images.path(i) === batch.files[2],
    )!;
    const out = [new Uint8Array(16 * 16 * 3), new Uint8Array(8 * 8 * 3)];
    const transform: ImageTransform = {
      ...testAugmenter.draw(0, index),
      views: [
        { out: out[0]!, offset: 0, size: 16, filter: 'bicubic' },
        { out: out[1]!, offset: 0, size: 8, filter: 'lanczos' },
      ],
    };
    const pool = nativeImages.imagePool(1);
    await nativeImages.imageDecodeBatch(pool, [{ path: images.path(index), ...transform }]);
    nativeImages.imagePoolClose(pool);
    for (const [v, side] of [16, 8].entries()) {
      const sample = batch.views[v]!.subarray(2 * 3 * side * side, 3 * 3 * side * side);
      expect(Buffer.from(sample).equals(Buffer.from(out[v]!))).toBe(true);
    }
    for (let i = 0; i < 4; i++) {
      expect(batch.masks.subarray(16 * i, 16 * (i + 1)).reduce((a, b) => a + b, 0)).toBe(7);
    }
  });

  it('gives the same bytes whatever the threads and the look-ahead', async () => {
    const reference = await firstBatches(7);
    expect(await firstBatches(7, { numWorkers: 1, prefetchBatches: 1 })).toEqual(reference);
    expect(await firstBatches(7, { numWorkers: 5, prefetchBatches: 4 })).toEqual(reference);
    const other = await firstBatches(7, { seed: 6 });
    expect(other[0]!.files).not.toEqual(reference[0]!.files);
    const sameImage = (batches: Copy[], epoch: number) => batches.filter((batch) => batch.epoch === epoch);
    expect(sameImage(reference, 1)[0]!.bytes).not.toBe(sameImage(reference, 0)[0]!.bytes);
  });

  it('continues after a seek with the batches it would have had', async () => {
    const all = await firstBatches(12);
    for (const stop of [0, 1, 4, 5, 8]) {
      using first = testLoader(images);
      await take(first, stop);
      const { epoch, batch } = first.position;
      expect([epoch, batch]).toEqual([Math.floor(stop / 5), stop % 5]);
      using resumed = testLoader(images);
      resumed.seek(epoch, batch);
      expect(resumed.position).toEqual({ epoch, batch });
      expect(await take(resumed, 3)).toEqual(all.slice(stop, stop + 3));
      // And back again, with batches read ahead to be dropped.
      resumed.seek(0, 2);
      expect(await take(resumed, 2)).toEqual(all.slice(2, 4));
      resumed.seek(0, 5);
      expect(resumed.position).toEqual({ epoch: 1, batch: 0 });
    }
    using loader = testLoader(images);
    for (const [epoch, batch] of [
      [0, 6],
      [-1, 0],
      [0, 0.5],
    ] as const) {
      expect(() => loader.seek(epoch, batch)).toThrow(/an epoch has 5 batches here; resume with/);
    }
  });

  it('reads no further ahead than told, however slow the consumer', async () => {
    using loader = testLoader(images, { prefetchBatches: 3 });
    const batch = await loader.next();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(loader.batchesAhead).toBe(3);
    batch.release();
    await loader.next();
    expect(loader.batchesAhead).toBe(3);
  });

  it('reuses the arrays it is given back, and no others', async () => {
    using loader = testLoader(images, { prefetchBatches: 2 });
    const arrays = new Set<ArrayBufferLike>();
    for (let i = 0; i < 40; i++) {
      const batch = await loader.next();
      arrays.add(batch.views[0]!.buffer);
      batch.release();
      batch.release();
    }
    expect(arrays.size).toBeLessThanOrEqual(4);
    const kept = await loader.next();
    const before = copy(kept);
    await take(loader, 8);
    expect(copy(kept)).toEqual(before);
  });

  it('keeps its memory bounded', async () => {
    using loader = testLoader(images, { views: [{ size: 128, filter: 'bicubic' }] });
    const run = async (batches: number) => {
      for (let i = 0; i < batches; i++) (await loader.next()).release();
    };
    await run(300);
    const before = process.memoryUsage.rss();
    await run(600);
    expect(process.memoryUsage.rss() - before).toBeLessThan(24 * 2 ** 20);
  });

  it('yields the incomplete last batch when asked to, in order when not shuffled', async () => {
    using loader = testLoader(images, { dropLast: false, shuffle: false, batchSize: 8 });
    const batches: Batch[] = [];
    for await (const batch of loader) {
      batches.push(batch);
      if (batches.length === 3) break;
    }
    expect(batches.map((batch) => batch.size)).toEqual([8, 8, 6]);
    expect(batches[2]!.views[0]!.length).toBe(6 * 16 * 16 * 3);
    expect(batches[2]!.masks.length).toBe(6 * 16);
    expect(batches.flatMap(({ files }) => files)).toEqual(
      Array.from({ length: 22 }, (_, i) => images.path(i)),
    );
  });

  it('divides an epoch among ranks', async () => {
    const shares = await Promise.all([0, 1].map((rank) => firstBatches(2, { rank, worldSize: 2 })));
    const files = shares.flat().flatMap((batch) => batch.files);
    expect(new Set(files).size).toBe(16);
  });

  it('stops at once when closed', async () => {
    const loader = testLoader(images);
    await loader.next();
    const pending = loader.next();
    loader.close();
    loader.close();
    await pending.catch((error: Error) => expect(error.message).toMatch(/closed/));
    await expect(loader.next()).rejects.toThrow('the loader is closed');
  });

  it('refuses counts that are none', () => {
    expect(() => testLoader(images, { numWorkers: -1 })).toThrow(/--num_workers -1/);
    expect(() => testLoader(images, { prefetchBatches: 0 })).toThrow(/0 batches to read ahead/);
    expect(() => testLoader(images, { batchSize: 23 })).toThrow(/--batch_size 23 is larger/);
  });
});

describe('createPretrainLoader', () => {
  const options = () => ({
    images,
    batchSize: 4,
    seed: 5,
    numWorkers: 2,
    inputSize: 16,
    inputFilter: 'bicubic' as const,
    secondInputSize: 8,
    secondFilter: 'lanczos' as const,
    cropMinSize: 0.08,
    cropMaxSize: 1,
    colorJitter: 0.3,
    mask: { kind: 'block' as const, grid: [4, 4] as const, numMaskPatches: 7, minMaskPatchesPerBlock: 3 },
  });

  it('yields the views and masks of the options', async () => {
    const loader = createPretrainLoader(options());
    const batch = await loader.next();
    loader.close();
    expect([loader.batchesPerEpoch, loader.maskedPatches]).toEqual([5, 7]);
    const [plain] = await firstBatches(1);
    expect(Buffer.concat([batch.images, batch.tokenizerImages, batch.masks]).toString('base64')).toBe(
      plain!.bytes,
    );
  });

  it('names the flag of an option out of range', () => {
    expect(() => createPretrainLoader({ ...options(), cropMinSize: 0 })).toThrow(/--crop_min_size/);
    expect(() => createPretrainLoader({ ...options(), cropMinSize: 0.9, cropMaxSize: 0.5 })).toThrow(
      /--crop_max/,
    );
    expect(() => createPretrainLoader({ ...options(), colorJitter: -1 })).toThrow(/--color_jitter -1/);
    expect(() =>
      createPretrainLoader({ ...options(), mask: { ...options().mask, numMaskPatches: 16 } }),
    ).toThrow(/--num_mask_patches/);
  });
});

it('masks and augmentations draw from different streams', () => {
  const { crop } = testAugmenter.draw(0, 0);
  const masks = createMaskGenerator({ kind: 'random', grid: [4, 4], seed: 5, numMaskPatches: 4 });
  expect(crop).toMatchObject({ kind: 'random', minScale: 0.08, maxScale: 1 });
  expect(masks.generate(0, 0)).toHaveLength(16);
});
