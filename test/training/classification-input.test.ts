import { expect, it } from 'vitest';
import type { ClassificationBatch } from '../../lib/data/classification-loader.js';
import { Mixup } from '../../lib/data/mixup.js';
import { native } from '../../lib/native/addon.js';
import { ClassificationInput } from '../../lib/training/classification-input.js';

const side = 8;
const area = side * side;
const normalization = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** Two pictures; a box at 1,2 of 3×4 is erased from the second. */
function batch(changes: Partial<ClassificationBatch> = {}): ClassificationBatch {
  const images = Uint8Array.from({ length: 2 * 3 * area }, (_, i) => (i * 7) % 256);
  return {
    size: 2,
    images,
    views: [images],
    masks: new Uint8Array(),
    labels: Int32Array.from([1, 2]),
    files: ['a', 'b'],
    indices: Int32Array.from([4, 5]),
    erasing: Int32Array.from([0, 0, 0, 0, 1, 2, 3, 4]),
    epoch: 1,
    batch: 3,
    globalIndex: 7,
    release: () => undefined,
    ...changes,
  };
}

/** Normalised value of a channel of a pixel. */
function expectedAt(images: Uint8Array, b: number, c: number, place: number): number {
  const value = images[3 * (b * area + place) + c]! / 255;
  return (value - normalization.mean[c]!) / normalization.deviation[c]!;
}

const isErased = (b: number, place: number): boolean => {
  const [y, x] = [Math.floor(place / side), place % side];
  return b === 1 && y >= 1 && y < 4 && x >= 2 && x < 6;
};

it('normalises, then erases, and smooths the labels', () => {
  const before = native.memoryStatistics().liveTensors;
  const input = new ClassificationInput({
    normalization,
    seed: 3,
    classes: 4,
    remode: 'const',
    smoothing: 0.2,
  });
  const { images, targets } = input.train(batch());
  const pixels = images.dataSync();
  for (let i = 0; i < pixels.length; i++) {
    const [b, c, place] = [Math.floor(i / (3 * area)), Math.floor(i / area) % 3, i % area];
    const expected = isErased(b, place) ? 0 : expectedAt(batch().images, b, c, place);
    expect(pixels[i]).toBeCloseTo(expected, 5);
  }
  const rows = [...targets.dataSync()].map((v) => Number(v.toFixed(6)));
  expect(rows).toEqual([0.05, 0.85, 0.05, 0.05, 0.05, 0.05, 0.85, 0.05]);
  images.release();
  targets.release();
  input.dispose();
  expect(native.memoryStatistics().liveTensors).toBe(before);
});

it('draws its noise by (seed, epoch, image), whatever the batch', () => {
  const noiseOf = (seed: number, changes: Partial<ClassificationBatch>): number[] => {
    const input = new ClassificationInput({ normalization, seed, classes: 4 });
    const { images, targets } = input.train(batch(changes));
    const pixels = [...images.dataSync()];
    for (const tensor of [images, targets]) tensor.release();
    input.dispose();
    return Array.from({ length: area }, (_, place) => place)
      .filter((place) => isErased(1, place))
      .map((place) => pixels[3 * area + place]!);
  };
  const noise = noiseOf(3, {});
  expect(new Set(noise).size).toBe(12);
  expect(noiseOf(3, { batch: 4 })).toEqual(noise);
  expect(noiseOf(4, {})).not.toEqual(noise);
  expect(noiseOf(3, { epoch: 2 })).not.toEqual(noise);
  expect(noiseOf(3, { indices: Int32Array.from([4, 6]) })).not.toEqual(noise);
});

it('mixes what it has erased, and the targets alike', () => {
  const mixup = new Mixup({ seed: 1, size: side, mixup: 0.8, cutmix: 0 });
  const plain = new ClassificationInput({ normalization, seed: 3, classes: 4 });
  const mixed = new ClassificationInput({ normalization, seed: 3, classes: 4, mixup });
  const [a, b] = [plain.train(batch()), mixed.train(batch())];
  const [before, after] = [a.images.dataSync(), b.images.dataSync()];
  const { lambda } = mixup.draw(1, 3, 2);
  expect(lambda[0]).toBeLessThan(1);
  for (let i = 0; i < after.length; i++) {
    const other = before[(i + 3 * area) % after.length]!;
    expect(after[i]).toBeCloseTo(lambda[0]! * before[i]! + (1 - lambda[0]!) * other, 4);
  }
  expect(b.targets.dataSync()[1]).toBeCloseTo(lambda[0]!, 6);
  expect(b.targets.dataSync()[2]).toBeCloseTo(1 - lambda[0]!, 6);
  for (const { images, targets } of [a, b]) {
    images.release();
    targets.release();
  }
  plain.dispose();
  mixed.dispose();
});

it('only normalises for evaluation', () => {
  const input = new ClassificationInput({ normalization, seed: 3, classes: 4 });
  const images = input.eval(batch());
  expect(images.shape).toEqual([2, 3, side, side]);
  expect(images.dataSync()[0]).toBeCloseTo(expectedAt(batch().images, 0, 0, 0), 5);
  images.release();
  input.dispose();
});
