import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { createMaskGenerator, type MaskOptions } from '../../lib/data/masks.js';
import { fixture } from '../fixtures.js';

const base: MaskOptions = { kind: 'block', grid: [14, 14], seed: 0, numMaskPatches: 98 };

function count(mask: Uint8Array): number {
  return mask.reduce((a, b) => a + b, 0);
}

/** Pairs of neighbours of which exactly one is masked. */
function boundary(mask: Uint8Array, height: number, width: number): number {
  let length = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const here = mask[y * width + x]!;
      if (x + 1 < width && here !== mask[y * width + x + 1]) length++;
      if (y + 1 < height && here !== mask[(y + 1) * width + x]) length++;
    }
  }
  return length;
}

describe('block masks', () => {
  it('are masked where, and as raggedly, as the reference’s are', () => {
    using file = SafetensorsFile.open(fixture('block_mask_statistics.safetensors'));
    const config = JSON.parse(file.metadata['config']!) as {
      grid: [number, number];
      min_mask_patches_per_block: number;
      num_mask_patches: number;
      samples: number;
    };
    const frequency = file.readFloat64('expect.frequency');
    const [mean, deviation] = file.readFloat64('expect.boundary_length_mean_std');
    const masks = createMaskGenerator({
      ...base,
      grid: config.grid,
      numMaskPatches: config.num_mask_patches,
      minMaskPatchesPerBlock: config.min_mask_patches_per_block,
    });
    const { samples } = config;
    const masked = new Float64Array(masks.patches);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < samples; i++) {
      const mask = masks.generate(0, i);
      for (let p = 0; p < mask.length; p++) masked[p]! += mask[p]!;
      const length = boundary(mask, ...config.grid);
      sum += length;
      squares += length * length;
    }
    // Both sides are estimates from as many draws. 5 standard errors over 196 patches: one false alarm in 10⁴.
    let chiSquared = 0;
    for (const [p, expected] of frequency.entries()) {
      const error = Math.sqrt((2 * expected * (1 - expected)) / samples);
      const z = (masked[p]! / samples - expected) / error;
      expect(Math.abs(z), `patch ${p}`).toBeLessThan(5);
      chiSquared += z * z;
    }
    // Patches of a mask are correlated, so this is not χ² with 196 degrees; its mean is, and a bias shows.
    expect(chiSquared / frequency.length).toBeLessThan(2);
    const ownMean = sum / samples;
    const ownDeviation = Math.sqrt(squares / samples - ownMean ** 2);
    expect(Math.abs(ownMean - mean!)).toBeLessThan(5 * deviation! * Math.sqrt(2 / samples));
    expect(Math.abs(ownDeviation / deviation! - 1)).toBeLessThan(0.03);
  });

  it('mask exactly the number asked for, whatever the grid and the limits', () => {
    for (const options of [
      base,
      { ...base, grid: [4, 4] as const, numMaskPatches: 7 },
      { ...base, grid: [8, 6] as const, numMaskPatches: 47, minMaskPatchesPerBlock: 4 },
      { ...base, numMaskPatches: 98, maxMaskPatchesPerBlock: 20 },
      { ...base, numMaskPatches: 5, minMaskPatchesPerBlock: 1 },
    ]) {
      const masks = createMaskGenerator(options);
      for (let i = 0; i < 200; i++) expect(count(masks.generate(1, i))).toBe(options.numMaskPatches);
    }
  });

  it('keep blocks within --max_mask_patches_per_block, which makes them more ragged', () => {
    const large = createMaskGenerator(base);
    const small = createMaskGenerator({ ...base, maxMaskPatchesPerBlock: 17 });
    const raggedness = (masks: typeof large) =>
      Array.from({ length: 300 }, (_, i) => boundary(masks.generate(0, i), 14, 14)).reduce((a, b) => a + b);
    expect(raggedness(small)).toBeGreaterThan(1.1 * raggedness(large));
  });
});

describe('random masks', () => {
  it('mask int(ratio · N) patches, each as often as any other', () => {
    const masks = createMaskGenerator({ ...base, kind: 'random', grid: [6, 6], ratioMaskPatches: 0.4 });
    expect(masks.masked).toBe(14);
    const masked = new Float64Array(36);
    for (let i = 0; i < 20_000; i++) {
      const mask = masks.generate(0, i);
      expect(count(mask)).toBe(14);
      for (let p = 0; p < 36; p++) masked[p]! += mask[p]! / 20_000;
    }
    for (const frequency of masked) expect(Math.abs(frequency - 14 / 36)).toBeLessThan(0.018);
  });

  it('mask the number of patches where no ratio is given', () => {
    const masks = createMaskGenerator({ ...base, kind: 'random' });
    expect(count(masks.generate(0, 0))).toBe(98);
  });
});

describe.each(['block', 'random'] as const)('%s masks', (kind) => {
  it('are a function of (seed, epoch, index)', () => {
    const masks = createMaskGenerator({ ...base, kind });
    const again = createMaskGenerator({ ...base, kind });
    const other = createMaskGenerator({ ...base, kind, seed: 1 });
    const mask = masks.generate(2, 3);
    expect(again.generate(2, 3)).toEqual(mask);
    expect(masks.generate(3, 3)).not.toEqual(mask);
    expect(masks.generate(2, 4)).not.toEqual(mask);
    expect(other.generate(2, 3)).not.toEqual(mask);
  });

  it('refuse to mask nothing, or everything', () => {
    for (const numMaskPatches of [0, 196, 300, 1.5, Number.NaN]) {
      expect(() => createMaskGenerator({ ...base, kind, numMaskPatches })).toThrow(
        /--num_mask_patches.* 14x14 grid has 196; give 1 to 195/,
      );
    }
  });
});

it('refuses an unknown kind, and a grid that is no whole numbers', () => {
  expect(() => createMaskGenerator({ ...base, kind: 'foo' as 'block' })).toThrow(
    /--mask_generator foo is not known; choose block, random/,
  );
  for (const grid of [
    [14.5, 14],
    [14, Number.NaN],
    [0, 14],
    [-14, -14],
  ] as const) {
    for (const kind of ['block', 'random'] as const) {
      expect(() => createMaskGenerator({ ...base, kind, grid })).toThrow(/a grid of .* patches: give whole/);
    }
  }
});

it('refuses limits that cannot be kept', () => {
  expect(() => createMaskGenerator({ ...base, maxMaskPatchesPerBlock: 15 })).toThrow(
    /--max_mask_patches_per_block 15/,
  );
  expect(() => createMaskGenerator({ ...base, minMaskPatchesPerBlock: 0 })).toThrow(/--min_mask_patches/);
  expect(() => createMaskGenerator({ ...base, kind: 'random', ratioMaskPatches: 1.2 })).toThrow(
    /--ratio_mask_patches 1.2/,
  );
});
