import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { type CropBox, type ImageFilter, nativeImages } from '../../lib/native/image.js';
import { fixture } from '../fixtures.js';
import { testPixels } from './image-support.js';

interface Case {
  crop: CropBox;
  filter: ImageFilter;
  height: number;
  width: number;
  size: number;
}

const kernels: Record<'bilinear' | 'bicubic' | 'lanczos', [number, (x: number) => number]> = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [
    2,
    (x) => {
      const t = Math.abs(x);
      if (t < 1) return 1.5 * t ** 3 - 2.5 * t ** 2 + 1;
      return t < 2 ? -0.5 * (t ** 3 - 5 * t ** 2 + 8 * t - 4) : 0;
    },
  ],
  lanczos: [
    3,
    (x) => {
      if (x === 0) return 1;
      const t = Math.PI * x;
      return Math.abs(x) < 3 ? (3 * Math.sin(t) * Math.sin(t / 3)) / t ** 2 : 0;
    },
  ],
};

/** One axis of a resize in floating point, rounded to 8 bits: the textbook form of what the core does. */
function resizeAxis(line: number[], size: number, filter: keyof typeof kernels): number[] {
  const [support, kernel] = kernels[filter];
  const scale = line.length / size;
  const stretch = Math.max(1, scale);
  return Array.from({ length: size }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const to = Math.min(line.length, Math.trunc(centre + support * stretch + 0.5));
    let sum = 0;
    let total = 0;
    for (let t = from; t < to; t++) {
      const weight = kernel((t - centre + 0.5) / stretch);
      sum += weight * line[t]!;
      total += weight;
    }
    return Math.max(0, Math.min(255, Math.floor(sum / total + 0.5)));
  });
}

function resizeTwoPasses(
  pixels: Uint8Array,
  height: number,
  width: number,
  size: number,
  filter: keyof typeof kernels,
): number[] {
  const out = new Array<number>(3 * size * size);
  for (let c = 0; c < 3; c++) {
    const rows = Array.from({ length: height }, (_, y) =>
      resizeAxis(
        Array.from({ length: width }, (_, x) => pixels[3 * (y * width + x) + c]!),
        size,
        filter,
      ),
    );
    for (let x = 0; x < size; x++) {
      const column = resizeAxis(
        rows.map((row) => row[x]!),
        size,
        filter,
      );
      for (let y = 0; y < size; y++) out[3 * (y * size + x) + c] = column[y]!;
    }
  }
  return out;
}

describe('imageResizedCrop', () => {
  using file = SafetensorsFile.open(fixture('pillow_resized_crop.safetensors'));
  const { cases } = JSON.parse(file.metadata['config']!) as { cases: Case[] };
  const inputs = cases.map((_, i) => file.read(`input.image${i}`));
  const expected = cases.map((_, i) => file.read(`expect.image${i}`));

  it.each(cases.map((c, i) => ({ ...c, i })))(
    'gives the bytes of Pillow: crop $crop to $size, $filter',
    ({ crop, filter, height, width, size, i }) => {
      const out = nativeImages.imageResizedCrop(inputs[i]!, height, width, crop, size, filter);
      expect(Buffer.from(out).equals(Buffer.from(expected[i]!))).toBe(true);
    },
  );

  it.each(['bilinear', 'bicubic', 'lanczos'] as const)(
    'is the two-pass filter, at any size: %s',
    (filter) => {
      for (const [height, width, size] of [
        [1, 1, 5],
        [2, 3, 7],
        [37, 53, 12],
        [53, 37, 64],
        [64, 90, 33],
        [7, 210, 3],
      ] as const) {
        const pixels = testPixels(height, width, height);
        const out = nativeImages.imageResizedCrop(pixels, height, width, [0, 0, height, width], size, filter);
        const reference = resizeTwoPasses(pixels, height, width, size, filter);
        // Fixed-point weights may tip a value that lies within 1e-4 of a half.
        const off = out.filter((value, i) => value !== reference[i]).length;
        expect(Math.max(...out.map((value, i) => Math.abs(value - reference[i]!)))).toBeLessThanOrEqual(1);
        expect(off / out.length).toBeLessThan(0.01);
      }
    },
  );

  it('reduces by more than the vector loops have room for', () => {
    const width = 9000;
    const pixels = testPixels(2, width);
    const out = nativeImages.imageResizedCrop(pixels, 2, width, [0, 0, 2, width], 2, 'lanczos');
    expect([...out]).toEqual(resizeTwoPasses(pixels, 2, width, 2, 'lanczos'));
  });

  it('does not see pixels outside the crop', () => {
    const inside = testPixels(20, 30);
    const around = new Uint8Array(3 * 40 * 50).fill(255);
    for (let y = 0; y < 20; y++) around.set(inside.subarray(90 * y, 90 * (y + 1)), 3 * ((y + 9) * 50 + 11));
    const a = nativeImages.imageResizedCrop(inside, 20, 30, [0, 0, 20, 30], 16, 'lanczos');
    const b = nativeImages.imageResizedCrop(around, 40, 50, [9, 11, 20, 30], 16, 'lanczos');
    expect(Buffer.from(a).equals(Buffer.from(b))).toBe(true);
  });

  it('leaves a picture of the wanted size as it is', () => {
    const pixels = testPixels(24, 24);
    for (const filter of ['box', 'bilinear', 'hamming', 'bicubic', 'lanczos'] as const) {
      const out = nativeImages.imageResizedCrop(pixels, 24, 24, [0, 0, 24, 24], 24, filter);
      expect(Buffer.from(out).equals(Buffer.from(pixels))).toBe(true);
    }
  });

  it('refuses what does not fit, naming it', () => {
    const pixels = testPixels(4, 5);
    const call = (height: number, crop: CropBox, size: number, filter: string) => () =>
      nativeImages.imageResizedCrop(pixels, height, 5, crop, size, filter as ImageFilter);
    expect(call(5, [0, 0, 4, 5], 2, 'box')).toThrow(/60 bytes; 5x5 RGB pixels have 75/);
    expect(call(4, [1, 0, 4, 5], 2, 'box')).toThrow(/4x5 at 1,0 does not lie in a picture of 4x5/);
    expect(call(4, [0, 0, 0, 5], 2, 'box')).toThrow(/does not lie/);
    expect(call(4, [0, 0, 4, 5], 0, 'box')).toThrow(/size 0/);
    expect(call(4, [0, 0, 4, 5], 2, 'cubic')).toThrow(/no filter 'cubic'/);
  });
});
