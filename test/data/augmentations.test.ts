import { describe, expect, it } from 'vitest';
import { centreAugmenter, randomAugmenter } from '../../lib/data/augmentations.js';

const options = { seed: 1, cropMinSize: 0.2, cropMaxSize: 0.9, colorJitter: 0.4 };

describe('randomAugmenter', () => {
  const augmenter = randomAugmenter(options);

  it('is a function of (seed, epoch, index)', () => {
    expect(randomAugmenter(options).draw(3, 4)).toEqual(augmenter.draw(3, 4));
    expect(augmenter.draw(3, 5)).not.toEqual(augmenter.draw(3, 4));
    expect(augmenter.draw(4, 4)).not.toEqual(augmenter.draw(3, 4));
    expect(randomAugmenter({ ...options, seed: 2 }).draw(3, 4)).not.toEqual(augmenter.draw(3, 4));
  });

  it('mirrors half of the samples, and jitters within the strength, in every order', () => {
    let mirrored = 0;
    const orders = new Map<string, number>();
    const factors: number[] = [];
    for (let i = 0; i < 6000; i++) {
      const sample = augmenter.draw(0, i);
      if (sample.mirrored) mirrored++;
      const order = sample.jitter.map(({ kind }) => kind[0]).join('');
      orders.set(order, (orders.get(order) ?? 0) + 1);
      factors.push(...sample.jitter.map(({ factor }) => factor));
    }
    expect(Math.abs(mirrored - 3000)).toBeLessThan(200);
    expect([...orders.keys()].sort()).toEqual(['bcs', 'bsc', 'cbs', 'csb', 'sbc', 'scb']);
    for (const count of orders.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
    const [low, high] = [Math.min(...factors.slice(0, 9000)), Math.max(...factors.slice(0, 9000))];
    expect(low).toBeGreaterThanOrEqual(0.6);
    expect(low).toBeLessThan(0.61);
    expect(high).toBeLessThan(1.4);
    expect(high).toBeGreaterThan(1.39);
  });

  it('draws no jitter at strength 0, and never mirrors where told so', () => {
    const plain = randomAugmenter({ ...options, colorJitter: 0, flip: 0 });
    for (let i = 0; i < 50; i++) expect(plain.draw(0, i)).toMatchObject({ jitter: [], mirrored: false });
  });

  it('never lets a factor go below 0', () => {
    const strong = randomAugmenter({ ...options, colorJitter: 3 });
    for (let i = 0; i < 200; i++) {
      for (const { factor } of strong.draw(0, i).jitter) expect(factor).toBeGreaterThanOrEqual(0);
    }
  });
});

it('centreAugmenter has no randomness', () => {
  expect(centreAugmenter.draw(1, 2)).toEqual({ crop: { kind: 'centre' }, mirrored: false, jitter: [] });
});
