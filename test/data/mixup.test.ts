import { describe, expect, it } from 'vitest';
import { Mixup, type MixupOptions, softTargets } from '../../lib/data/mixup.js';
import { UserError } from '../../lib/errors.js';

const options: MixupOptions = { seed: 1, size: 32, mixup: 0.8, cutmix: 1 };

describe('Mixup', () => {
  it('is a function of (seed, epoch, batch)', () => {
    const mixup = new Mixup({ ...options, mode: 'elem' });
    expect(new Mixup({ ...options, mode: 'elem' }).draw(2, 3, 8)).toEqual(mixup.draw(2, 3, 8));
    expect(mixup.draw(2, 4, 8)).not.toEqual(mixup.draw(2, 3, 8));
    expect(mixup.draw(3, 3, 8)).not.toEqual(mixup.draw(2, 3, 8));
    expect(new Mixup({ ...options, mode: 'elem', seed: 2 }).draw(2, 3, 8)).not.toEqual(mixup.draw(2, 3, 8));
  });

  it.each(['batch', 'pair', 'elem'] as const)('mixes with the picture from the other end: %s', (mode) => {
    const mixup = new Mixup({ ...options, mode });
    const distinct = { batch: 1, pair: 4, elem: 8 }[mode];
    for (let batch = 0; batch < 40; batch++) {
      const { partner, weight, boxes, lambda, unchanged } = mixup.draw(0, batch, 8);
      expect([...partner]).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
      expect(unchanged).toBe(false);
      const parameters = Array.from(lambda, (value, i) => [
        value,
        weight[i],
        ...boxes.subarray(4 * i, 4 * i + 4),
      ]);
      expect(new Set(parameters.map(String)).size).toBeLessThanOrEqual(distinct);
      if (mode === 'pair') expect(parameters.slice(0, 4)).toEqual(parameters.slice(4).reverse());
      for (const [own, share, top, left, height, width] of parameters as [
        number,
        number,
        number,
        number,
        number,
        number,
      ][]) {
        // A blend has no box; a box leaves the label the share of the picture that it leaves.
        if (share !== 1) expect([own, height * width]).toEqual([share, 0]);
        else expect(own).toBeCloseTo(1 - (height * width) / 32 ** 2, 6);
        expect(top + height).toBeLessThanOrEqual(32);
        expect(left + width).toBeLessThanOrEqual(32);
        expect(Math.min(top, left, height, width)).toBeGreaterThanOrEqual(0);
      }
    }
  });

  it('draws a new set for each picture in mode elem', () => {
    const { lambda } = new Mixup({ ...options, cutmix: 0, mode: 'elem' }).draw(0, 0, 64);
    expect(new Set(lambda).size).toBe(64);
  });

  it('says when nothing is mixed', () => {
    const { unchanged, lambda, weight } = new Mixup({ ...options, mixupProb: 0 }).draw(0, 0, 4);
    expect([unchanged, ...lambda, ...weight]).toEqual([true, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('keeps a box’s sides within --cutmix_minmax', () => {
    const mixup = new Mixup({ ...options, mixup: 0, cutmix: 0, cutmixMinmax: [0.25, 0.75] });
    const sides = new Set<number>();
    for (let batch = 0; batch < 400; batch++) {
      const { boxes } = mixup.draw(0, batch, 2);
      sides.add(boxes[2]!).add(boxes[3]!);
    }
    expect([Math.min(...sides), Math.max(...sides)]).toEqual([8, 23]);
  });

  it.each([
    [{ mixup: -1 }, /--mixup -1/],
    [{ cutmix: Number.NaN }, /--cutmix NaN/],
    [{ mixupProb: 1.5 }, /--mixup_prob 1.5/],
    [{ switchProb: -0.5 }, /--mixup_switch_prob -0.5/],
    [{ mixup: 0, cutmix: 0 }, /nothing is mixed/],
    [{ cutmixMinmax: [0.5] }, /--cutmix_minmax 0.5: give two shares/],
    [{ cutmixMinmax: [0.8, 0.2] }, /--cutmix_minmax 0.8 0.2/],
    [{ cutmixMinmax: [0.2, 0.201] }, /a pixel apart/],
  ])('refuses %j, naming the flag', (changes, message) => {
    expect(() => new Mixup({ ...options, ...changes })).toThrow(UserError);
    expect(() => new Mixup({ ...options, ...changes })).toThrow(message);
  });

  it('refuses an odd batch', () => {
    expect(() => new Mixup(options).draw(0, 0, 3)).toThrow(/--batch_size 3 with --mixup or --cutmix/);
  });
});

describe('softTargets', () => {
  /** timm's mixup_target, by one-hot rows. */
  function formula(
    labels: number[],
    classes: number,
    smoothing: number,
    partner: number[],
    lambda: number[],
  ) {
    const row = (label: number) =>
      Array.from({ length: classes }, (_, c) => smoothing / classes + (c === label ? 1 - smoothing : 0));
    return labels.flatMap((label, i) => {
      const other = row(labels[partner[i]!]!);
      return row(label).map((value, c) => value * lambda[i]! + other[c]! * (1 - lambda[i]!));
    });
  }

  it('is the formula, label by label', () => {
    const labels = [2, 0, 2, 4];
    const partner = [3, 2, 1, 0];
    const lambda = [0.25, 1, 0, 0.7];
    for (const smoothing of [0, 0.1, 0.5]) {
      const mix = { partner: Int32Array.from(partner), lambda: Float32Array.from(lambda) };
      const targets = softTargets(Int32Array.from(labels), 5, smoothing, mix);
      const expected = formula(labels, 5, smoothing, partner, [...mix.lambda]);
      for (const [i, value] of targets.entries())
        expect(value, `${smoothing} ${i}`).toBeCloseTo(expected[i]!, 6);
    }
  });

  it('is one-hot without smoothing and mixing, and sums to 1 with both', () => {
    expect([...softTargets(Int32Array.from([1, 0]), 3, 0)]).toEqual([0, 1, 0, 1, 0, 0]);
    const mix = new Mixup({ ...options, mode: 'elem' }).draw(0, 0, 8);
    const targets = softTargets(Int32Array.from([0, 1, 2, 2, 2, 2, 5, 0]), 7, 0.1, mix);
    for (let i = 0; i < 8; i++) {
      expect(targets.subarray(7 * i, 7 * i + 7).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    }
  });

  it('refuses a smoothing or a label out of range', () => {
    expect(() => softTargets(Int32Array.from([0]), 2, 1)).toThrow(/--smoothing 1/);
    expect(() => softTargets(Int32Array.from([2]), 2, 0)).toThrow(/label 2 of 2 classes/);
  });
});
