// Small JPEG files of every kind the reader meets: node scripts/fuzz/jpeg-seeds.mjs FOLDER
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

const folder = process.argv[2] ?? 'seeds';
mkdirSync(folder, { recursive: true });
const picture = (width, height) =>
  sharp(
    Buffer.from(
      Array.from({ length: width * height * 3 }, (_, i) => (i * 7 + (i >> 6) * 13 + (i >> 9)) & 255),
    ),
    {
      raw: { width, height, channels: 3 },
    },
  );
const kinds = {
  baseline: (p) => p.jpeg({ quality: 90 }),
  progressive: (p) => p.jpeg({ progressive: true }),
  full: (p) => p.jpeg({ chromaSubsampling: '4:4:4' }),
  optimised: (p) => p.jpeg({ optimiseCoding: true, quality: 30, trellisQuantisation: true }),
  grey: (p) => p.toColourspace('b-w').jpeg(),
  cmyk: (p) => p.toColourspace('cmyk').jpeg(),
  exif: (p) => p.withMetadata({ orientation: 6 }).jpeg(),
};
for (const [name, encode] of Object.entries(kinds)) {
  for (const [width, height] of [
    [64, 48],
    [17, 33],
    [1, 1],
    [200, 9],
  ]) {
    await encode(picture(width, height)).toFile(join(folder, `${name}-${width}x${height}.jpg`));
  }
}
