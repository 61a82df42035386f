import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CifarImages } from '../../lib/data/cifar.js';
import {
  type ClassificationBatch,
  type ClassificationLoader,
  createEvalLoader,
  createFineTuneLoader,
  createProbeLoader,
  defaultCropPct,
  type FineTuneLoaderOptions,
  onePass,
} from '../../lib/data/classification-loader.js';
import type { ImageFolder } from '../../lib/data/image-folder.js';
import { loadImage } from '../../lib/data/load-image.js';
import { createRandomErasing } from '../../lib/data/random-erasing.js';
import { fillColour, fineTuneAugmenter } from '../../lib/data/train-augmenter.js';
import { nativeImages } from '../../lib/native/image.js';
import { temporaryFolder, writeImages } from './support.js';

const { path: root, remove } = temporaryFolder();
let images: ImageFolder;
beforeAll(async () => {
  images = await writeImages(join(root, 'plain'), 22);
});
afterAll(remove);

const mean = [0.485, 0.456, 0.406] as const;
const fineTune = (changes: Partial<FineTuneLoaderOptions> = {}): ClassificationLoader =>
  createFineTuneLoader({
    images,
    batchSize: 4,
    seed: 9,
    numWorkers: 2,
    inputSize: 24,
    aa: 'rand-m9-mstd0.5-inc1',
    colorJitter: 0.4,
    mean,
    reprob: 0.5,
    recount: 2,
    ...changes,
  });
const evaluate = (changes: object = {}): ClassificationLoader =>
  createEvalLoader({ images, batchSize: 8, seed: 9, numWorkers: 2, inputSize: 16, ...changes });

/** What a batch holds, to compare. */
function content({ images: pixels, erasing, labels, files, indices, epoch, batch }: ClassificationBatch) {
  return [
    Buffer.from(pixels).toString('base64'),
    [...erasing],
    [...labels],
    files,
    [...indices],
    epoch,
    batch,
  ];
}

async function take(loader: ClassificationLoader, count: number) {
  const taken: ReturnType<typeof content>[] = [];
  for (let i = 0; i < count; i++) {
    const batch = await loader.next();
    taken.push(content(batch));
    batch.release();
  }
  loader.close();
  return taken;
}

describe('createFineTuneLoader', () => {
  it('gives the same bytes and boxes whatever the threads, and after a seek', async () => {
    const all = await take(fineTune(), 8);
    expect(await take(fineTune({ numWorkers: 1, prefetchBatches: 1 }), 8)).toEqual(all);
    const resumed = fineTune();
    resumed.seek(1, 1);
    expect(await take(resumed, 2)).toEqual(all.slice(6));
    expect((await take(fineTune({ seed: 10 }), 1))[0]).not.toEqual(all[0]);
  });

  it('holds what the native core makes of each file, its label and its boxes', async () => {
    const loader = fineTune();
    const augmenter = fineTuneAugmenter({ seed: 9, aa: 'rand-m9-mstd0.5-inc1', colorJitter: 0, mean });
    const erasing = createRandomErasing({ seed: 9, size: 24, reprob: 0.5, recount: 2 });
    expect([loader.batchesPerEpoch, loader.imagesPerEpoch, loader.erasedBoxes]).toEqual([5, 20, 2]);
    const pool = nativeImages.imagePool(1);
    for (let b = 0; b < 5; b++) {
      const batch = await loader.next();
      for (const [slot, index] of batch.indices.entries()) {
        const out = new Uint8Array(3 * 24 * 24);
        const views = [{ out, offset: 0, size: 24, filter: 'bicubic' as const }];
        await nativeImages.imageDecodeBatch(pool, [
          { path: images.path(index), ...augmenter.draw(0, index), views },
        ]);
        const pixels = batch.images.subarray(slot * out.length, (slot + 1) * out.length);
        expect(Buffer.from(pixels).equals(Buffer.from(out))).toBe(true);
        expect(batch.files[slot]).toBe(images.path(index));
        expect(batch.labels[slot]).toBe(images.label(index));
        expect([...batch.erasing.subarray(8 * slot, 8 * slot + 8)]).toEqual([...erasing.draw(0, index)]);
      }
    }
    nativeImages.imagePoolClose(pool);
    loader.close();
  });

  it('jitters colours in place of a missing policy, and has no boxes without random erasing', async () => {
    const augmenter = fineTuneAugmenter({ seed: 1, colorJitter: 0.4, mean });
    const kinds = augmenter.draw(0, 0).operations!.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind !== 'mirror').sort()).toEqual([
      'brightness',
      'contrast',
      'saturation',
    ]);
    const loader = fineTune({ aa: '', reprob: 0 });
    const batch = await loader.next();
    loader.close();
    expect([loader.erasedBoxes, batch.erasing.length]).toEqual([0, 0]);
  });

  it('uncovers the mean in 8 bits, as timm rounds it', () => {
    expect(fillColour(mean)).toEqual([124, 116, 104]);
    expect(fillColour([0.5, 0.5, 0.5])).toEqual([128, 128, 128]);
    expect(fillColour([1, 0, 0.1])).toEqual([255, 0, 26]);
  });

  it('names the flag of an option out of range', () => {
    expect(() => fineTune({ aa: 'v0' })).toThrow(/--aa v0/);
    expect(() => fineTune({ colorJitter: -1 })).toThrow(/--color_jitter -1/);
    expect(() => fineTune({ reprob: 2 })).toThrow(/--reprob 2/);
    expect(() => fineTune({ inputSize: 0 })).toThrow(/--input_size 0/);
    expect(() => fineTune({ batchSize: 23 })).toThrow(/--batch_size 23/);
  });

  it('gives the label of the image that was read in place of a bad one', async () => {
    const folder = await writeImages(join(root, 'bad'), 120);
    // Every picture of the first class that an epoch begins with is spoilt, one at a time.
    const bad = Array.from({ length: 120 }, (_, i) => i).find((i) => folder.label(i) === 0)!;
    writeFileSync(folder.path(bad), 'no picture');
    const labels = new Set<number>();
    for (let epoch = 0; epoch < 12; epoch++) {
      const loader = fineTune({ images: folder, onBadImage: 'skip', log: () => undefined, batchSize: 24 });
      loader.seek(epoch, 0);
      for (let b = 0; b < loader.batchesPerEpoch; b++) {
        const batch = await loader.next();
        const slot = batch.indices.indexOf(bad);
        if (slot < 0) continue;
        expect(batch.files[slot]).not.toBe(folder.path(bad));
        expect(batch.labels[slot]).toBe(batch.files[slot]!.includes('/ants/') ? 0 : 1);
        labels.add(batch.labels[slot]!);
      }
      loader.close();
    }
    expect([...labels].sort()).toEqual([0, 1]);
  });
});

describe('createProbeLoader', () => {
  it('only crops and mirrors', async () => {
    const loader = createProbeLoader({ images, batchSize: 4, seed: 9, numWorkers: 1, inputSize: 24 });
    const batch = await loader.next();
    loader.close();
    expect(batch.images.length).toBe(4 * 3 * 24 * 24);
    expect(batch.erasing.length).toBe(0);
    expect([...batch.labels]).toEqual([...batch.indices].map((index) => images.label(index)));
  });
});

describe('createEvalLoader', () => {
  it('yields every picture once, in order, resized and cut as loadImage does', async () => {
    const loader = evaluate();
    expect([loader.batchesPerEpoch, loader.imagesPerEpoch]).toEqual([3, 22]);
    for (let pass = 0; pass < 2; pass++) {
      const files: string[] = [];
      for await (const batch of onePass(loader)) {
        for (const [slot, file] of batch.files.entries()) {
          if (slot > 1) continue;
          // 16 of 18 is what 7/8 of the side keeps.
          const [pixels] = await loadImage(file, [{ size: 16, shorter: 18, filter: 'bicubic' }]);
          const sample = batch.images.subarray(slot * 768, (slot + 1) * 768);
          expect(Buffer.from(sample).equals(Buffer.from(pixels!))).toBe(true);
        }
        files.push(...batch.files);
        batch.release();
      }
      expect(files).toEqual(Array.from({ length: 22 }, (_, i) => images.path(i)));
    }
    loader.close();
  });

  it('takes no room for more pictures than there are', async () => {
    const loader = evaluate({ batchSize: 2 ** 52 });
    expect([loader.batchesPerEpoch, loader.imagesPerEpoch]).toEqual([1, 22]);
    const batch = await loader.next();
    expect([batch.size, batch.images.length]).toEqual([22, 22 * 768]);
    batch.release();
    loader.close();
    for (const batchSize of [0, 2.5, Number.NaN]) expect(() => evaluate({ batchSize })).toThrow('batch');
  });

  it('begins anew after a pass that was broken off', async () => {
    const loader = evaluate();
    for await (const batch of onePass(loader)) {
      expect(batch.batch).toBe(0);
      break;
    }
    for await (const batch of onePass(loader)) {
      expect(batch.files[0]).toBe(images.path(0));
      break;
    }
    loader.close();
  });

  it('deals every picture out once among ranks', async () => {
    const files: string[] = [];
    for (let rank = 0; rank < 3; rank++) {
      const loader = evaluate({ rank, worldSize: 3, batchSize: 4 });
      let count = 0;
      for await (const batch of onePass(loader)) {
        files.push(...batch.files);
        count += batch.size;
      }
      expect(loader.imagesPerEpoch).toBe(count);
      loader.close();
    }
    expect(files.sort()).toEqual(Array.from({ length: 22 }, (_, i) => images.path(i)).sort());
  });

  it('keeps 224/256 of the side of small pictures, and all of large ones', () => {
    expect([224, 383, 384, 512].map(defaultCropPct)).toEqual([0.875, 0.875, 1, 1]);
    expect(() => evaluate({ cropPct: 1.2 })).toThrow(/--crop_pct 1.2/);
    expect(() => evaluate({ cropPct: 0 })).toThrow(/--crop_pct 0/);
    expect(() => evaluate({ cropPct: 1e-4 })).toThrow(/--crop_pct 0\.0001: .* and at most 65536 are/);
  });

  it('reads CIFAR', async () => {
    const records = Array.from({ length: 5 }, (_, i) => [
      Buffer.from([0, 10 * i]),
      ...[1, 2, 3].map((c) => Buffer.alloc(1024, 20 * i + c)),
    ]);
    writeFileSync(join(root, 'test.bin'), Buffer.concat(records.flat()));
    const loader = evaluate({ images: new CifarImages(root, 'CIFAR', 'test'), batchSize: 4 });
    const batches: number[][] = [];
    for await (const batch of onePass(loader)) {
      batches.push([...batch.labels]);
      expect([...batch.images.subarray(768, 771)]).toEqual(batch.batch === 0 ? [21, 22, 23] : []);
    }
    loader.close();
    expect(batches).toEqual([[0, 10, 20, 30], [40]]);
  });
});
