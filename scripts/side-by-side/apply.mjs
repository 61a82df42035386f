#!/usr/bin/env node
// Applies operations to square pictures: a line {size, pixels, operations} in, a line of base64 pixels out.
import { createInterface } from 'node:readline';
import { nativeImages } from '../../dist/native/image.js';

const pool = nativeImages.imagePool(1);
for await (const line of createInterface({ input: process.stdin })) {
  const { size, pixels, operations } = JSON.parse(line);
  const out = new Uint8Array(3 * size * size);
  const [report] = await nativeImages.imageDecodeBatch(pool, [
    {
      pixels: new Uint8Array(Buffer.from(pixels, 'base64')),
      height: size,
      width: size,
      crop: [0, 0, size, size],
      mirrored: false,
      jitter: [],
      views: [{ out, offset: 0, size, filter: 'bicubic' }],
      operations,
    },
  ]);
  if (report.outcome !== 'done') throw new Error(report.message);
  console.log(Buffer.from(out).toString('base64'));
}
nativeImages.imagePoolClose(pool);
