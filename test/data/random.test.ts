import { describe, expect, it } from 'vitest';
import { Draws, dataStream, philox4x32 } from '../../lib/data/random.js';

describe('Philox4x32-10', () => {
  // The known-answer vectors of Random123.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('answers as known for counter %j', (counter, [key0, key1], expected) => {
    const words = Uint32Array.from(counter);
    philox4x32(words, key0!, key1!);
    expect([...words]).toEqual(expected);
  });
});

describe('Draws', () => {
  const first = (seed: number, stream: number, step: number, index: number) => {
    const draws = new Draws(seed, stream, step, index);
    return Array.from({ length: 5 }, () => draws.uniform());
  };

  it('is a function of each of its four names', () => {
    const names: [number, number, number, number][] = [
      [1, dataStream.mask, 3, 4],
      [2, dataStream.mask, 3, 4],
      [1 + 2 ** 32, dataStream.mask, 3, 4],
      [1, dataStream.augmentation, 3, 4],
      [1, dataStream.mask, 4, 4],
      [1, dataStream.mask, 3, 5],
    ];
    for (const name of names) expect(first(...name)).toEqual(first(...name));
    const all = names.flatMap((name) => first(...name));
    expect(new Set(all).size).toBe(all.length);
  });

  it('is uniform, with neighbours independent', () => {
    const draws = new Draws(0, dataStream.mask, 0, 0);
    const values = Array.from({ length: 100_000 }, () => draws.uniform());
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - 0.5) ** 2, 0) / values.length;
    const lag =
      values.slice(1).reduce((sum, v, i) => sum + (v - 0.5) * (values[i]! - 0.5), 0) / values.length;
    expect(Math.min(...values.slice(0, 1000))).toBeGreaterThanOrEqual(0);
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.005);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.002);
    expect(Math.abs(lag)).toBeLessThan(0.002);
  });

  it('draws whole numbers over the whole range, evenly', () => {
    const draws = new Draws(3, dataStream.mask, 0, 0);
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[draws.below(7)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  it('shuffles evenly: every permutation of three comes up', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = new Draws(9, dataStream.permutation, 0, i).shuffle([0, 1, 2]).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('refuses a seed that is no whole number of 0 or more', () => {
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => new Draws(seed, 0, 0, 0)).toThrow(/--seed/);
    }
  });
});

describe('normal and beta variates', () => {
  const count = 20_000;
  /** Mean and variance of `count` draws. */
  function moments(draw: (draws: Draws) => number): [mean: number, variance: number] {
    const draws = new Draws(7, dataStream.mixing, 0, 0);
    const values = Array.from({ length: count }, () => draw(draws));
    const mean = values.reduce((a, b) => a + b, 0) / count;
    return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / count];
  }

  it('have the moments of the normal distribution', () => {
    const [mean, variance] = moments((draws) => draws.normal(3, 2));
    expect(Math.abs(mean - 3)).toBeLessThan((5 * 2) / Math.sqrt(count));
    expect(Math.abs(variance - 4)).toBeLessThan((5 * 4 * Math.sqrt(2)) / Math.sqrt(count));
  });

  it.each([
    [2, 5],
    [0.8, 0.8],
    [1, 3],
    [0.1, 0.4],
  ])('have the moments of the beta distribution (%d, %d)', (a, b) => {
    const [mean, variance] = moments((draws) => draws.beta(a, b));
    const expected = (a * b) / ((a + b) ** 2 * (a + b + 1));
    expect(Math.abs(mean - a / (a + b))).toBeLessThan(5 * Math.sqrt(expected / count));
    // The fourth central moment of anything in 0 … 1 is at most its variance.
    expect(Math.abs(variance - expected)).toBeLessThan(5 * Math.sqrt(expected / count));
  });
});
