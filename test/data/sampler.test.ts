import { describe, expect, it } from 'vitest';
import { BatchSampler } from '../../lib/data/sampler.js';

function epochOf(sampler: BatchSampler, epoch: number): number[] {
  return Array.from({ length: sampler.batchesPerEpoch }, (_, batch) => sampler.indices(epoch, batch)).flat();
}
const sorted = (values: number[]) => [...values].sort((a, b) => a - b);

describe('BatchSampler', () => {
  it('deals out a permutation of the data set, another one each epoch and seed', () => {
    const sampler = new BatchSampler({ length: 12, batchSize: 4, seed: 1 });
    expect(sampler.batchesPerEpoch).toBe(3);
    const [first, second] = [epochOf(sampler, 0), epochOf(sampler, 1)];
    const all = Array.from({ length: 12 }, (_, i) => i);
    expect(sorted(first)).toEqual(all);
    expect(sorted(second)).toEqual(all);
    expect(second).not.toEqual(first);
    expect(epochOf(new BatchSampler({ length: 12, batchSize: 4, seed: 2 }), 0)).not.toEqual(first);
    expect(epochOf(new BatchSampler({ length: 12, batchSize: 4, seed: 1 }), 0)).toEqual(first);
  });

  it('leaves out the incomplete batch, or not', () => {
    expect(epochOf(new BatchSampler({ length: 11, batchSize: 4, seed: 0 }), 0)).toHaveLength(8);
    const all = new BatchSampler({ length: 11, batchSize: 4, seed: 0, dropLast: false });
    expect(all.batchesPerEpoch).toBe(3);
    expect(sorted(epochOf(all, 0))).toEqual(Array.from({ length: 11 }, (_, i) => i));
  });

  it('keeps the order without shuffling', () => {
    const sampler = new BatchSampler({ length: 5, batchSize: 2, seed: 0, shuffle: false, dropLast: false });
    expect(epochOf(sampler, 3)).toEqual([0, 1, 2, 3, 4]);
  });

  it('gives the ranks equal shares that cover the data set, padded from its beginning', () => {
    const worldSize = 3;
    const shares = [0, 1, 2].map((rank) =>
      epochOf(new BatchSampler({ length: 10, batchSize: 2, seed: 7, rank, worldSize, dropLast: false }), 0),
    );
    expect(shares.map((share) => share.length)).toEqual([4, 4, 4]);
    const order = epochOf(new BatchSampler({ length: 10, batchSize: 10, seed: 7 }), 0);
    const padded = [...order, order[0], order[1]];
    for (const [rank, share] of shares.entries()) {
      expect(share).toEqual(padded.filter((_, i) => i % worldSize === rank));
    }
  });

  it('has as many batches as the reference: images / batch / ranks, rounded down', () => {
    expect(
      new BatchSampler({ length: 1_281_167, batchSize: 64, seed: 0, worldSize: 32 }).batchesPerEpoch,
    ).toBe(625);
  });

  it('refuses a batch larger than the data set, and counts that are none', () => {
    expect(() => new BatchSampler({ length: 10, batchSize: 11, seed: 0 })).toThrow(
      '--batch_size 11 is larger than the data set of 10 images; give a smaller one',
    );
    expect(() => new BatchSampler({ length: 10, batchSize: 4, seed: 0, worldSize: 3 })).toThrow(
      /each of 3 ranks/,
    );
    for (const batchSize of [0, 1.5, Number.NaN]) {
      expect(() => new BatchSampler({ length: 10, batchSize, seed: 0 })).toThrow(/--batch_size/);
    }
    expect(() => new BatchSampler({ length: 10, batchSize: 1, seed: 0, rank: 2, worldSize: 2 })).toThrow(
      /rank 2/,
    );
    expect(() => new BatchSampler({ length: 10, batchSize: 1, seed: 0 }).indices(0, 10)).toThrow(RangeError);
  });
});
