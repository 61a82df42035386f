import sharp, { type Sharp } from 'sharp';
import {
  type CropBox,
  type ImageJob,
  type ImageReport,
  type ImageSource,
  type JitterStep,
  nativeImages,
} from '../../lib/native/image.js';

/** A small generator for test pictures and places, unrelated to the one under test. */
export function testRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** RGB pixels with edges and gradients in every channel: [height, width, 3]. */
export function testPixels(height: number, width: number, seed = 1): Uint8Array {
  const random = testRandom(seed);
  const phase = Array.from({ length: 9 }, () => random() * 6);
  const pixels = new Uint8Array(3 * height * width);
  for (let i = 0; i < height * width; i++) {
    const y = Math.floor(i / width);
    const x = i % width;
    for (let c = 0; c < 3; c++) {
      const wave = Math.sin(x * (0.11 + 0.05 * c) + phase[c]!) * Math.cos(y * 0.17 + phase[3 + c]!);
      const edge = (Math.floor(x / 7 + phase[6 + c]!) + Math.floor(y / 5)) % 2 === 0 ? 40 : -40;
      pixels[3 * i + c] = Math.max(0, Math.min(255, 128 + 80 * wave + edge + 20 * random()));
    }
  }
  return pixels;
}

/** A sharp pipeline over such pixels, to be encoded. */
export function testPicture(height: number, width: number, seed = 1): Sharp {
  return sharp(testPixels(height, width, seed), { raw: { width, height, channels: 3 } });
}

/** Pixels of a square crop of a source, unresized, through the batch decoder. */
export async function squareCrop(
  source: ImageSource,
  [top, left, side]: readonly [number, number, number],
  options: { mirrored?: boolean; jitter?: JitterStep[] } = {},
): Promise<{ pixels: Uint8Array; report: ImageReport }> {
  const pixels = new Uint8Array(3 * side * side);
  const crop: CropBox = [top, left, side, side];
  const job: ImageJob = {
    ...source,
    crop,
    mirrored: options.mirrored ?? false,
    jitter: options.jitter ?? [],
    views: [{ out: pixels, offset: 0, size: side, filter: 'bicubic' }],
  };
  const pool = nativeImages.imagePool(1);
  try {
    const [report] = await nativeImages.imageDecodeBatch(pool, [job]);
    return { pixels, report: report! };
  } finally {
    nativeImages.imagePoolClose(pool);
  }
}
