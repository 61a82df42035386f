import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { type CropBox, type ImageFilter, nativeImages } from '../native/image.js';
import { fixtureConfig } from './fixture-config.js';
import type { Computed } from './types.js';

interface Case {
  /** top, left, height, width */
  crop: CropBox;
  filter: ImageFilter;
  height: number;
  width: number;
  size: number;
}

/** Crop and resize as Pillow does it, in 8-bit. */
export async function runPillowResizedCrop(file: SafetensorsFile): Promise<Map<string, Computed>> {
  const { cases } = fixtureConfig<{ cases: Case[] }>(file, ['cases']);
  const computed = new Map<string, Computed>();
  for (const [i, { crop, filter, height, width, size }] of cases.entries()) {
    const pixels = file.read(`input.image${i}`);
    const data = nativeImages.imageResizedCrop(pixels, height, width, crop, size, filter);
    computed.set(`image${i}`, { data, shape: [size, size, 3] });
  }
  return computed;
}
