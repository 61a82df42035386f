import { describe, expect, it } from 'vitest';
import { createRandomErasing } from '../../lib/data/random-erasing.js';

describe('createRandomErasing', () => {
  it('is a function of (seed, epoch, index)', () => {
    const options = { seed: 1, size: 224, reprob: 1, recount: 2 };
    const erasing = createRandomErasing(options);
    expect(createRandomErasing(options).draw(3, 4)).toEqual(erasing.draw(3, 4));
    expect(erasing.draw(3, 5)).not.toEqual(erasing.draw(3, 4));
    expect(erasing.draw(4, 4)).not.toEqual(erasing.draw(3, 4));
    expect(createRandomErasing({ ...options, seed: 2 }).draw(3, 4)).not.toEqual(erasing.draw(3, 4));
  });

  it('keeps its boxes within the picture and its limits', () => {
    for (const recount of [1, 3]) {
      const erasing = createRandomErasing({ seed: 1, size: 64, reprob: 1, recount });
      expect(erasing.boxes).toBe(recount);
      for (let i = 0; i < 500; i++) {
        const boxes = erasing.draw(0, i);
        expect(boxes).toHaveLength(4 * recount);
        const real = Array.from({ length: recount }, (_, k) => [...boxes.subarray(4 * k, 4 * k + 4)]).filter(
          (box) => box[2]! > 0,
        );
        for (const [top, left, height, width] of real as [number, number, number, number][]) {
          expect(top).toBeGreaterThanOrEqual(0);
          expect(left).toBeGreaterThanOrEqual(0);
          expect(top + height).toBeLessThanOrEqual(64);
          expect(left + width).toBeLessThanOrEqual(64);
          expect(Math.max(height, width)).toBeLessThan(64);
          const area = (height * width * real.length) / 64 ** 2;
          // Sides are rounded to whole pixels.
          expect(area).toBeGreaterThan(0.01);
          expect(area).toBeLessThan(0.37);
        }
      }
    }
  });

  it('never erases at probability 0', () => {
    const erasing = createRandomErasing({ seed: 1, size: 64, reprob: 0 });
    for (let i = 0; i < 100; i++) expect([...erasing.draw(0, i)]).toEqual([0, 0, 0, 0]);
  });

  it('gives up on a picture too small for a box', () => {
    const erasing = createRandomErasing({ seed: 1, size: 1, reprob: 1 });
    for (let i = 0; i < 50; i++) {
      const [, , height, width] = erasing.draw(0, i);
      expect(height! * width!).toBe(0);
    }
  });

  it('names the flag of a value out of range', () => {
    const options = { seed: 1, size: 64, reprob: 0.25 };
    expect(() => createRandomErasing({ ...options, reprob: 1.5 })).toThrow(/--reprob 1.5/);
    expect(() => createRandomErasing({ ...options, recount: 0 })).toThrow(/--recount 0/);
  });
});
