import { describe, expect, it } from 'vitest';
import {
  type DrawnOperation,
  drawRandAugment,
  increasingNames,
  parseRandAugment,
  type RandAugmentPolicy,
} from '../../lib/data/rand-augment.js';
import { Draws, dataStream } from '../../lib/data/random.js';
import { UserError } from '../../lib/errors.js';

function draw(policy: RandAugmentPolicy, index: number): DrawnOperation[] {
  const draws = new Draws(3, dataStream.augmentation, 0, index);
  return drawRandAugment(policy, 'bicubic', [1, 2, 3], draws);
}

function drawMany(text: string, count = 600): DrawnOperation[] {
  const policy = parseRandAugment(text);
  return Array.from({ length: count }, (_, i) => draw(policy, i)).flat();
}

/** Distinct values of an operation by timm's name, in order. */
function valuesOf(name: string, drawn: readonly DrawnOperation[]): number[] {
  const values = drawn.flatMap((one) =>
    one.name === name && 'value' in one.operation ? [one.operation.value] : [],
  );
  return [...new Set(values)].sort((a, b) => a - b);
}

describe('parseRandAugment', () => {
  it('reads the recipe’s policy', () => {
    expect(parseRandAugment('rand-m9-mstd0.5-inc1')).toEqual({
      magnitude: 9,
      deviation: 0.5,
      most: 10,
      layers: 2,
      probability: 0.5,
      names: increasingNames,
    });
    expect(increasingNames).toEqual([
      ...['AutoContrast', 'Equalize', 'Invert', 'Rotate', 'PosterizeIncreasing', 'SolarizeIncreasing'],
      ...['SolarizeAdd', 'ColorIncreasing', 'ContrastIncreasing', 'BrightnessIncreasing'],
      ...['SharpnessIncreasing', 'ShearX', 'ShearY', 'TranslateXRel', 'TranslateYRel'],
    ]);
  });

  it('has timm’s defaults, and takes sections in any order', () => {
    expect(parseRandAugment('rand')).toMatchObject({ magnitude: 10, deviation: 0, most: 10, layers: 2 });
    expect(parseRandAugment('rand').names).toContain('Posterize');
    expect(parseRandAugment('rand-inc0').names).toContain('Solarize');
    expect(parseRandAugment('rand-p0.75-inc1-n3-mmax20-m15-mstd101')).toMatchObject({
      magnitude: 15,
      deviation: Number.POSITIVE_INFINITY,
      most: 20,
      layers: 3,
      probability: 0.75,
    });
    const weighted = parseRandAugment('rand-m9-w0');
    expect(weighted.weights).toHaveLength(weighted.names.length);
    expect(parseRandAugment('rand-m9-tweights')).toEqual(weighted);
  });

  it.each([
    ['original', /--aa original: the policy 'original' is not known; give a RandAugment policy/],
    ['augmix-m5', /the policy 'augmix' is not known/],
    ['rand-q3', /section 'q3'/],
    ['rand-m', /section 'm'/],
    ['rand-t3a', /section 't3a'/],
    ['rand-m9.5', /'m9\.5' is not a whole number/],
    ['rand-p2', /probability p is over 1/],
    ['rand-n16-w0', /n is over 15/],
  ])('refuses %s in one line', (text, message) => {
    expect(() => parseRandAugment(text)).toThrow(UserError);
    expect(() => parseRandAugment(text)).toThrow(message);
  });
});

describe('drawRandAugment', () => {
  it('gives each operation timm’s value at a magnitude without deviation', () => {
    const drawn = drawMany('rand-m9-p1-inc1');
    expect(drawn).toHaveLength(1200);
    expect(valuesOf('Rotate', drawn)).toEqual([-27, 27]);
    expect(valuesOf('PosterizeIncreasing', drawn)).toEqual([1]);
    expect(valuesOf('SolarizeIncreasing', drawn)).toEqual([26]);
    expect(valuesOf('SolarizeAdd', drawn)).toEqual([99]);
    for (const name of ['Color', 'Contrast', 'Brightness', 'Sharpness']) {
      const [low, high, ...more] = valuesOf(`${name}Increasing`, drawn);
      expect(more).toEqual([]);
      expect(low).toBeCloseTo(0.19, 12);
      expect(high).toBeCloseTo(1.81, 12);
    }
    for (const [name, most] of [
      ['ShearX', 0.27],
      ['ShearY', 0.27],
      ['TranslateXRel', 0.405],
      ['TranslateYRel', 0.405],
    ] as const) {
      const values = valuesOf(name, drawn);
      expect(values.map((value) => value.toFixed(12))).toEqual([-most, most].map((v) => v.toFixed(12)));
    }
  });

  it('knows the operations that do not all grow', () => {
    const drawn = drawMany('rand-m9-p1');
    expect(valuesOf('Posterize', drawn)).toEqual([3]);
    expect(valuesOf('Solarize', drawn)).toEqual([230]);
    expect(valuesOf('Color', drawn)[0]).toBeCloseTo(1.72, 12);
  });

  it('goes past magnitude 10 with mmax alone', () => {
    expect(valuesOf('Rotate', drawMany('rand-m20-p1-inc1'))).toEqual([-30, 30]);
    expect(valuesOf('Rotate', drawMany('rand-m20-mmax20-p1-inc1'))).toEqual([-60, 60]);
    const strong = drawMany('rand-m20-mmax20-p1-inc1');
    expect(valuesOf('PosterizeIncreasing', strong)).toEqual([0]);
    expect(valuesOf('SolarizeIncreasing', strong)).toEqual([0]);
    expect(valuesOf('SolarizeAdd', strong)).toEqual([128]);
    expect(valuesOf('ColorIncreasing', strong)[0]).toBe(0.1);
  });

  it('spreads the magnitude evenly for a huge deviation', () => {
    const values = drawMany('rand-m10-mstd101-p1-inc1', 6000).flatMap(({ name, operation }) =>
      name === 'Rotate' && 'value' in operation ? [Math.abs(operation.value)] : [],
    );
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    // Uniform in 0 … 30: its mean has a deviation of 30/√12/√800.
    expect(Math.abs(mean - 15)).toBeLessThan(5 * (8.66 / Math.sqrt(values.length)));
    expect(Math.min(...values)).toBeLessThan(1);
    expect(Math.max(...values)).toBeGreaterThan(29);
  });

  it('takes its weights, and no operation twice, for a weighted policy', () => {
    const policy = parseRandAugment('rand-m9-p1-n3-w0');
    const first = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      const names = draw(policy, i).map(({ name }) => name);
      expect(new Set(names).size).toBe(3);
      first.set(names[0]!, (first.get(names[0]!) ?? 0) + 1);
    }
    const total = policy.weights!.reduce((a, b) => a + b, 0);
    for (const [i, name] of policy.names.entries()) {
      const share = policy.weights![i]! / total;
      const deviation = Math.sqrt((share * (1 - share)) / 4000);
      expect(Math.abs((first.get(name) ?? 0) / 4000 - share), name).toBeLessThan(5 * deviation);
    }
  });

  it('hands on the filter and the fill to what moves pixels', () => {
    const moved = drawMany('rand-m9-p1-inc1').filter(({ operation }) => 'filter' in operation);
    expect(moved.length).toBeGreaterThan(300);
    for (const { operation } of moved)
      expect(operation).toMatchObject({ filter: 'bicubic', fill: [1, 2, 3] });
  });
});
