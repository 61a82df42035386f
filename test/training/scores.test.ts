import { describe, expect, it } from 'vitest';
import { Scores } from '../../lib/training/scores.js';

describe('scores', () => {
  it('adds up loss, first and first five', () => {
    const classes = 7;
    const logits = [
      [5, 1, 2, 3, 4, 0, -1], // label 0: first
      [5, 1, 2, 3, 4, 0, -1], // label 2: fourth
      [5, 1, 2, 3, 4, 0, -1], // label 6: last
      [1000, 1, 2, 1000.5, 4, 0, -1], // label 0: second, and exp would overflow
    ];
    const labels = Int32Array.of(0, 2, 6, 0);
    const scores = new Scores(classes);
    scores.add(Float64Array.from(logits.slice(0, 3).flat()), labels.subarray(0, 3));
    scores.add(Float64Array.from(logits.slice(3).flat()), labels.subarray(3));
    const { loss, acc1, acc5 } = scores.numbers();
    const denominator = Math.log([5, 1, 2, 3, 4, 0, -1].reduce((sum, x) => sum + Math.exp(x), 0));
    const expected = [denominator - 5, denominator - 2, denominator + 1, Math.log(1 + Math.exp(0.5))];
    expect(loss).toBeCloseTo(expected.reduce((a, b) => a + b) / 4, 12);
    expect(acc1).toBe(25);
    expect(acc5).toBe(75);
    expect(scores.count).toBe(4);
    const at = (row: number, column: number) => scores.confusion[row * classes + column];
    expect([at(0, 0), at(0, 3), at(2, 0), at(6, 0)]).toEqual([1, 1, 1, 1]);
    expect(scores.classAccuracies()).toEqual([50, Number.NaN, 0, Number.NaN, Number.NaN, Number.NaN, 0]);
  });

  it('counts the first of equal logits, so that a constant output is no success', () => {
    const scores = new Scores(10);
    scores.add(
      new Float32Array(100),
      Int32Array.from({ length: 10 }, (_, i) => i),
    );
    expect(scores.numbers()).toMatchObject({ acc1: 10, acc5: 50 });
  });

  it.each([3, -1])('refuses label %i of 3 classes', (label) => {
    const scores = new Scores(3);
    scores.add([1, 2, 3], Int32Array.of(2));
    expect(() => scores.add([1, 2, 3], Int32Array.of(label))).toThrow(
      `label ${label} of picture 1 is none of the 3 classes`,
    );
    expect([...scores.confusion]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(scores.count).toBe(1);
  });

  it('refuses logits that are not classes for each label, and no classes', () => {
    expect(() => new Scores(3).add([1, 2], Int32Array.of(0))).toThrow(
      /^2 logits are not 3 for each of 1 labels/,
    );
    for (const classes of [0, -1, 1.5, Number.NaN])
      expect(() => new Scores(classes)).toThrow(/classes: give/);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses %s', (value) => {
    expect(() => new Scores(2).add([0, value], Int32Array.of(0))).toThrow(/picture 0 is not finite/);
  });
});
