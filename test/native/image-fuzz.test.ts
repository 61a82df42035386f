import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { type ImageJob, nativeImages } from '../../lib/native/image.js';
import { mutate, seededRandom } from '../checkpoint/support.js';
import { testPicture } from './image-support.js';

const folder = mkdtempSync(join(tmpdir(), 'cae-image-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('1000 mutated JPEG files give pixels or a reason, and the good ones among them their pixels', async () => {
  const random = seededRandom(9);
  const seeds = await Promise.all([
    testPicture(40, 31).jpeg().toBuffer(),
    testPicture(17, 50).jpeg({ progressive: true }).toBuffer(),
    testPicture(24, 24).toColourspace('b-w').jpeg({ quality: 40 }).toBuffer(),
    testPicture(33, 20).toColourspace('cmyk').jpeg().toBuffer(),
  ]);
  const pool = nativeImages.imagePool(2);
  const count = { done: 0, failed: 0, 'other-format': 0 };
  const perBatch = 50;
  for (let batch = 0; batch < 20; batch++) {
    const jobs = Array.from({ length: perBatch }, (_, i): ImageJob => {
      const seed = seeds[random(seeds.length)]!;
      const path = join(folder, `${i}.jpg`);
      // The first of each batch is whole: it must come through beside the others.
      writeFileSync(path, i === 0 ? seed : mutate(seed, random));
      const out = new Uint8Array(3 * 16 * 16);
      const view = { out, offset: 0, size: 16, shorter: 20, filter: 'bicubic' } as const;
      return {
        path,
        crop: { kind: 'centre' },
        mirrored: i % 2 === 0,
        jitter: i % 3 === 0 ? [{ kind: 'contrast', factor: 0.7 }] : [],
        views: [view],
      };
    });
    const reports = await nativeImages.imageDecodeBatch(pool, jobs);
    expect(reports[0]).toMatchObject({ outcome: 'done' });
    for (const { outcome, message } of reports) {
      count[outcome]++;
      if (outcome === 'failed') expect(message).toMatch(/^[^\n]+$/);
    }
  }
  nativeImages.imagePoolClose(pool);
  expect(count.done).toBeGreaterThan(100);
  expect(count.failed).toBeGreaterThan(100);
});
