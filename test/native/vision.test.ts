import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import {
  argmax,
  gumbelSoftmax,
  klToUniform,
  lookUpCodes,
  maxPool2,
  mixCodes,
  relu,
  sigmoid,
  smoothL1,
  upsample2,
} from '../../lib/tensor/ops/vision.js';
import type { Parameter } from '../../lib/tensor/parameter.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { gradientErrors } from '../tensor/gradient-check.js';
import {
  disposeParameter,
  numbersOf,
  randomNumbers,
  randomParameter,
  relativeError,
  roundToBf16,
  tensorOf,
} from '../tensor/numbers.js';

function expectGradients(of: Record<string, Parameter>, forward: () => Tensor): void {
  const before = native.memoryStatistics().liveTensors;
  const errors = gradientErrors(of, forward);
  expect(native.memoryStatistics().liveTensors).toBe(before + Object.keys(of).length);
  for (const parameter of Object.values(of)) disposeParameter(parameter);
  for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
}

/** Values of an op in each dtype, beside f64. */
function expectTwins(shape: number[], forward: (x: Tensor) => Tensor): void {
  const values = roundToBf16(
    randomNumbers(
      shape.reduce((a, b) => a * b, 1),
      5,
    ),
  );
  const [wanted, single, half] = (['f64', 'f32', 'bf16'] as const).map((dtype) => {
    const x = tensorOf(values, shape, dtype);
    const y = forward(x);
    const numbers = numbersOf(y);
    x.release();
    y.release();
    return numbers;
  });
  expect(relativeError(single!, wanted!)).toBeLessThan(1e-6);
  expect(relativeError(half!, wanted!)).toBeLessThan(1e-2);
}

describe('pointwise, pooling and upsampling', () => {
  const map: [string, (x: Tensor) => Tensor, number[]][] = [
    ['relu', relu, [3, 7, 5]],
    ['sigmoid', sigmoid, [3, 7, 5]],
    ['maxPool2', maxPool2, [2, 4, 6, 5]],
    ['maxPool2 of one square', maxPool2, [1, 2, 2, 1]],
    ['upsample2', upsample2, [2, 3, 1, 5]],
  ];

  it.each(map)('%s: gradients in f64 against finite differences', (_, op, shape) => {
    const x = randomParameter(shape, 11);
    expectGradients({ x }, () => op(x));
  });

  it.each(map)('%s: f32 and bf16 beside f64', (_, op, shape) => expectTwins(shape, op));

  it('relu and sigmoid at their ends', () => {
    const x = tensorOf([-200, -1, -0, 0, 2, 200], [6]);
    const [r, s] = [relu(x), sigmoid(x)];
    expect([...r.dataSync()].map((v) => v + 0)).toEqual([0, 0, 0, 0, 2, 200]);
    expect(s.dataSync()[0]).toBeLessThan(1e-37);
    expect(s.dataSync()[5]).toBe(1);
    for (const t of [x, r, s]) t.release();
  });

  it('maxPool2 sends the gradient to the first of equals, as torch does', () => {
    const x = tensorOf([1, 3, 3, 3, 2, 2, 0, 2], [1, 2, 4, 1]);
    const dy = tensorOf([10, 20], [1, 1, 2, 1]);
    const dx = new Tensor(native.maxPool2Backward(dy.handle, x.handle));
    // Squares: (1,3 / 2,2) and (3,3 / 0,2).
    expect([...dx.dataSync()]).toEqual([0, 10, 20, 0, 0, 0, 0, 0]);
    for (const t of [x, dy, dx]) t.release();
  });

  it('maxPool2 and upsample2 by hand', () => {
    const x = tensorOf([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 2, 2]);
    const [pooled, large] = [maxPool2(x), upsample2(x)];
    expect([...pooled.dataSync()]).toEqual([7, 8]);
    const [upper, lower] = [
      [1, 2, 1, 2, 3, 4, 3, 4],
      [5, 6, 5, 6, 7, 8, 7, 8],
    ];
    expect([...large.dataSync()]).toEqual([...upper, ...upper, ...lower, ...lower]);
    expect(large.shape).toEqual([1, 4, 4, 2]);
    for (const t of [x, pooled, large]) t.release();
  });

  it('maxPool2 and upsample2 refuse odd sides', () => {
    const x = Tensor.zeros([1, 3, 4, 1]);
    const pooled = Tensor.zeros([1, 1, 2, 1]);
    expect(() => maxPool2(x)).toThrow(/\[max_pool2\].*\[1,3,4,1\]/);
    expect(() => native.maxPool2Backward(pooled.handle, x.handle)).toThrow(/\[max_pool2_backward\].*odd/);
    expect(() => native.upsample2Backward(x.handle)).toThrow(/\[upsample2_backward\].*odd/);
    x.release();
    pooled.release();
  });
});

describe('argmax', () => {
  it.each([1, 2, 31, 8192])('of %i: the first of equals, in each dtype', (columns) => {
    const rows = 5;
    const values = roundToBf16(randomNumbers(rows * columns, 3));
    const wanted: number[] = [];
    for (let r = 0; r < rows; r++) {
      const row = values.subarray(r * columns, (r + 1) * columns);
      // Two equal largest ones, where there is room.
      row[Math.floor(columns / 3)] = 2;
      row[columns - 1] = 2;
      wanted.push(row.indexOf(2));
    }
    for (const dtype of ['f32', 'bf16', 'f64'] as const) {
      const x = tensorOf(values, [rows, 1, columns], dtype);
      const y = argmax(x);
      expect(y.shape).toEqual([rows, 1]);
      expect(y.dtype).toBe('i32');
      expect([...y.dataSync()]).toEqual(wanted);
      x.release();
      y.release();
    }
  });
});

describe('codebook', () => {
  it('mixCodes: gradients of weights and codebook', () => {
    const p = { weights: randomParameter([2, 3, 7], 1), codebook: randomParameter([7, 5], 2) };
    expectGradients(p, () => mixCodes(p.weights, p.codebook));
  });

  it('looking codes up is mixing with one-hot weights', () => {
    const codebook = randomParameter([7, 5], 2);
    const ids = [6, 0, 3, 3];
    const tokens = Tensor.from(Int32Array.from(ids), [2, 2]);
    const oneHot = tensorOf(
      ids.flatMap((id) => Array.from({ length: 7 }, (_, v) => Number(v === id))),
      [2, 2, 7],
      'f64',
    );
    const [a, b] = [lookUpCodes(tokens, codebook), mixCodes(oneHot, codebook)];
    expect(a.shape).toEqual([2, 2, 5]);
    expect([...a.dataSync()]).toEqual([...b.dataSync()]);
    for (const t of [tokens, oneHot, a, b]) t.release();
    disposeParameter(codebook);
  });

  it.each([0.3, 0.9, 2])('gumbelSoftmax at temperature %d: gradients', (temperature) => {
    const noise = tensorOf(randomNumbers(2 * 3 * 9, 8), [2, 3, 9], 'f64');
    const logits = randomParameter([2, 3, 9], 1);
    expectGradients({ logits }, () => gumbelSoftmax(logits, temperature, { seed: 0, step: 0, noise }));
    const drawn = randomParameter([2, 3, 9], 1);
    expectGradients({ drawn }, () => gumbelSoftmax(drawn, temperature, { seed: 5, step: 7 }));
    noise.release();
  });

  it('gumbelSoftmax draws from (seed, step): repeatable, and classes as often as softmax says', () => {
    const probabilities = [0.5, 0.25, 0.2, 0.05];
    const rows = 40_000;
    const logits = tensorOf(Array.from({ length: rows }, () => probabilities.map(Math.log)).flat(), [
      rows,
      4,
    ]);
    const draw = (seed: number, step: number): number[] => {
      const soft = gumbelSoftmax(logits, 1, { seed, step });
      const hard = argmax(soft);
      const ids = [...hard.dataSync()];
      soft.release();
      hard.release();
      return ids;
    };
    const first = draw(1, 0);
    expect(draw(1, 0)).toEqual(first);
    const counted = probabilities.map((_, v) => first.filter((id) => id === v).length / rows);
    // Four standard deviations of a share over 40 000 rows are below 0.01.
    const furthest = Math.max(...counted.map((share, v) => Math.abs(share - probabilities[v]!)));
    expect(furthest).toBeLessThan(0.01);
    for (const other of [draw(2, 0), draw(1, 1)]) {
      const equal = other.filter((id, i) => id === first[i]).length / rows;
      expect(Math.abs(equal - probabilities.reduce((sum, p) => sum + p * p, 0))).toBeLessThan(0.01);
    }
    logits.release();
  });
});

describe('losses of tokenizers', () => {
  it('smoothL1: value by hand on both sides of 1, gradients', () => {
    const [x, target] = [tensorOf([0, 0.5, -3, 2], [2, 2]), tensorOf([0, 0, 0, 0], [2, 2])];
    const loss = smoothL1(x, target);
    expect(loss.item()).toBeCloseTo((0 + 0.125 + 2.5 + 1.5) / 4, 6);
    for (const t of [x, target, loss]) t.release();
    const zeros = Tensor.zeros([3, 7], 'f64');
    const p = randomParameter([3, 7], 4);
    p.assign(randomNumbers(21, 4).map((v) => 2.5 * v));
    expectGradients({ p }, () => smoothL1(p, zeros));
    zeros.release();
  });

  it('klToUniform: zero for equal logits, log V for certainty, gradients', () => {
    const even = Tensor.zeros([2, 3, 8]);
    const certain = tensorOf([80, 0, 0, 0, 0, 0, 0, 0], [1, 8]);
    const [a, b] = [klToUniform(even, 1), klToUniform(certain, 0.5)];
    expect(Math.abs(a.item())).toBeLessThan(1e-5);
    expect(b.item()).toBeCloseTo(0.5 * Math.log(8), 5);
    for (const t of [even, certain, a, b]) t.release();
    const logits = randomParameter([2, 3, 9], 6);
    expectGradients({ logits }, () => klToUniform(logits, 0.7));
  });
});
