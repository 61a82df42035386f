import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { type ImageOperation, nativeImages } from '../../lib/native/image.js';
import { testPixels } from './image-support.js';

type PictureKind = 'noise' | 'ramp' | 'narrow' | 'flat' | 'blocks';

interface GoldenCase {
  readonly picture: readonly [kind: PictureKind, size: number, seed: number];
  readonly operations: readonly ImageOperation[];
  readonly sha256: string;
}

/** Made by scripts/golden/pillow_operations.py. */
const lines = readFileSync(new URL('./pillow-operations.golden.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n');
const { pillow } = JSON.parse(lines[0]!) as { readonly pillow: string };
const golden = lines.slice(1).map((line) => JSON.parse(line) as GoldenCase);

/** The same pictures as that script's. */
function goldenPixels([kind, size, seed]: GoldenCase['picture']): Uint8Array {
  const out = new Uint8Array(3 * size * size);
  let state = seed;
  for (let i = 0; i < out.length; i++) {
    const c = i % 3;
    const x = Math.floor(i / 3) % size;
    const y = Math.floor(i / 3 / size);
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const noise = state >>> 24;
    out[i] = {
      noise,
      ramp: (3 * x + 5 * y + 40 * c + seed) % 256,
      narrow: 100 + (noise % (20 + 10 * c)),
      flat: (37 * c + seed) % 256,
      blocks: 255 * ((Math.floor(x / 5) + Math.floor(y / 7) + c + seed) % 2),
    }[kind];
  }
  return out;
}

const pool = nativeImages.imagePool(2);
afterAll(() => nativeImages.imagePoolClose(pool));

/** The operations on a square picture, through the batch decoder. */
async function perform(
  pixels: Uint8Array,
  size: number,
  operations: readonly ImageOperation[],
): Promise<Uint8Array> {
  const out = new Uint8Array(3 * size * size);
  const [report] = await nativeImages.imageDecodeBatch(pool, [
    {
      pixels,
      height: size,
      width: size,
      crop: [0, 0, size, size],
      mirrored: false,
      jitter: [],
      views: [{ out, offset: 0, size, filter: 'bicubic' }],
      operations,
    },
  ]);
  expect(report).toMatchObject({ outcome: 'done' });
  return out;
}

describe('operations on a resized picture', () => {
  const byKind = new Map<string, GoldenCase[]>();
  for (const example of golden) {
    const kind = example.operations.length > 1 ? 'several in a row' : example.operations[0]!.kind;
    byKind.set(kind, [...(byKind.get(kind) ?? []), example]);
  }

  it('has golden pictures of every kind', () => {
    expect([...byKind.keys()].sort()).toEqual(
      [
        ...['autoContrast', 'brightness', 'contrast', 'equalize', 'invert', 'mirror', 'posterize', 'rotate'],
        ...['saturation', 'several in a row', 'sharpness', 'shearX', 'shearY', 'solarize', 'solarizeAdd'],
        ...['translateX', 'translateY'],
      ].sort(),
    );
  });

  it.each([...byKind])(`gives the very bytes of Pillow ${pillow}: %s`, async (_, cases) => {
    for (const { picture, operations, sha256 } of cases) {
      const out = await perform(goldenPixels(picture), picture[1], operations);
      const hash = createHash('sha256').update(out).digest('hex');
      expect(hash, JSON.stringify({ picture, operations })).toBe(sha256);
    }
  });

  it('come after resizing, on each view alike', async () => {
    const pixels = testPixels(20, 20);
    const outs = [new Uint8Array(3 * 8 * 8), new Uint8Array(3 * 5 * 5)];
    const operations: ImageOperation[] = [
      { kind: 'mirror' },
      { kind: 'shearX', value: 0.2, filter: 'bilinear', fill: [1, 2, 3] },
    ];
    const views = [8, 5].map((size, i) => ({ out: outs[i]!, offset: 0, size, filter: 'bicubic' as const }));
    const crop = [3, 2, 14, 15] as const;
    await nativeImages.imageDecodeBatch(pool, [
      { pixels, height: 20, width: 20, crop, mirrored: false, jitter: [], views, operations },
    ]);
    for (const [i, size] of [8, 5].entries()) {
      const resized = nativeImages.imageResizedCrop(pixels, 20, 20, crop, size, 'bicubic');
      expect([...outs[i]!]).toEqual([...(await perform(resized, size, operations))]);
    }
  });

  it('leave the pictures they were made from, and each other’s, alone', async () => {
    const pixels = testPixels(9, 9);
    const before = [...pixels];
    await perform(pixels, 9, [{ kind: 'invert' }, { kind: 'sharpness', value: 1.7 }]);
    expect([...pixels]).toEqual(before);
  });

  it.each([
    [{ kind: 'blur' }, /no operation 'blur'; give one of mirror, autoContrast/],
    [{ kind: 'posterize', value: 9 }, /posterize 9; give a whole number, 0 to 8/],
    [{ kind: 'solarize', value: 0.5 }, /solarize 0.5/],
    [{ kind: 'solarizeAdd', value: -1 }, /solarizeAdd -1/],
    [{ kind: 'sharpness', value: Number.NaN }, /a value of nan; give a number of -1e6 to 1e6/],
    [{ kind: 'rotate', value: 3, filter: 'lanczos', fill: [0, 0, 0] }, /no filter 'lanczos'/],
    [{ kind: 'rotate', value: 3, filter: 'bicubic', fill: [0, 0] }, /fill has 2 numbers, not 3/],
    [{ kind: 'rotate', value: 3, filter: 'bicubic', fill: [0, 0, 256] }, /three numbers of 0 to 255/],
  ])('refuse %j', async (operation, message) => {
    const call = () => perform(testPixels(4, 4), 4, [operation as unknown as ImageOperation]);
    await expect(call()).rejects.toThrow(message);
  });
});
