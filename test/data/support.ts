import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Augmenter, randomAugmenter } from '../../lib/data/augmentations.js';
import { ImageFolder } from '../../lib/data/image-folder.js';
import { Loader, type LoaderOptions } from '../../lib/data/loader.js';
import { createMaskGenerator } from '../../lib/data/masks.js';
import { testPicture } from '../native/image-support.js';

/** A folder of its own for a test file, and the function that removes it. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'cae-data-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Writes `count` JPEG files of differing sizes into two classes below `root`. */
export async function writeImages(root: string, count: number): Promise<ImageFolder> {
  for (const name of ['ants', 'bees']) mkdirSync(join(root, name), { recursive: true });
  for (let i = 0; i < count; i++) {
    const name = `${String(i).padStart(4, '0')}.jpg`;
    await testPicture(40 + (i % 7), 50 + (i % 5), i)
      .jpeg()
      .toFile(join(root, i % 2 === 0 ? 'ants' : 'bees', name));
  }
  return new ImageFolder(root);
}

export const testAugmenter: Augmenter = randomAugmenter({
  seed: 5,
  cropMinSize: 0.08,
  cropMaxSize: 1,
  colorJitter: 0.3,
});

/** A loader of two small views with masks; `changes` overrides. */
export function testLoader(images: ImageFolder, changes: Partial<LoaderOptions> = {}): Loader {
  return new Loader({
    images,
    batchSize: 4,
    seed: 5,
    views: [
      { size: 16, filter: 'bicubic' },
      { size: 8, filter: 'lanczos' },
    ],
    augmenter: testAugmenter,
    masks: createMaskGenerator({
      kind: 'block',
      grid: [4, 4],
      seed: 5,
      numMaskPatches: 7,
      minMaskPatchesPerBlock: 3,
    }),
    numWorkers: 2,
    ...changes,
  });
}
