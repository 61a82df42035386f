import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import * as mixup from '../../lib/data/mixup.js';
import * as randAugment from '../../lib/data/rand-augment.js';
import * as random from '../../lib/data/random.js';
import * as randomErasing from '../../lib/data/random-erasing.js';
import * as trainAugmenter from '../../lib/data/train-augmenter.js';
import * as image from '../../lib/native/image.js';
import { drawQuantities } from '../../scripts/side-by-side/quantities.mjs';

/** What timm and torchvision drew: the share of values up to each point. */
interface Quantity {
  readonly name: string;
  readonly samples: number;
  readonly points: readonly number[];
  readonly shares: readonly number[];
}

/** Made by scripts/side-by-side/timm_statistics.py --freeze, with timm 1.0.29 and torchvision 0.29.1. */
const golden = readFileSync(new URL('./timm-statistics.golden.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Quantity);

/** Rounding of values that are the same, as in that script. */
const tolerance = 1e-6;

describe('augmentations are distributed as timm’s', () => {
  let drawn: Map<string, number[]>;
  beforeAll(async () => {
    const modules = { mixup, randAugment, random, randomErasing, trainAugmenter, image };
    drawn = await drawQuantities(modules, 12_000, 3_000);
  });

  it('in the same quantities', () => {
    expect([...drawn.keys()].sort()).toEqual(golden.map(({ name }) => name).sort());
  });

  it.each(golden)('$name', ({ name, samples, points, shares }) => {
    const values = drawn.get(name)!;
    for (const [i, point] of points.entries()) {
      const share = values.filter((value) => value <= point + tolerance).length / values.length;
      const expected = shares[i]!;
      // Five standard deviations of the difference of two such shares, and a value's worth where one is certain.
      const variance = expected * (1 - expected) * (1 / values.length + 1 / samples);
      const most = 5 * Math.sqrt(variance) + 3 / values.length;
      expect(Math.abs(share - expected), `share up to ${point}`).toBeLessThanOrEqual(most);
    }
  });
});
