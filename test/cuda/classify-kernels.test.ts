import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype, Handle } from '../../lib/native/bindings.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { relativeError } from '../tensor/numbers.js';
import { type Bench, type Case, onBoth } from './both-devices.js';

/** Largest relative error against the CPU's backend: as in kernels.test.ts. */
const dtypes: [Dtype, number][] = [
  ['f32', 2e-6],
  ['bf16', 6e-3],
  ['f16', 1e-3],
];

function expectSame(dtype: Dtype, tolerance: number, run: Case): void {
  const results = Object.entries(onBoth(dtype, run));
  expect(results.length).toBeGreaterThan(0);
  for (const [name, { cpu, cuda }] of results) {
    expect(relativeError(cuda, cpu), name).toBeLessThan(tolerance);
  }
}

const integers = (b: Bench, values: readonly number[], shape: readonly number[]): Handle =>
  Tensor.from(Int32Array.from(values), shape, b.device).handle;
const copied = (x: Handle): Handle => native.add(x, x, 0.5, 0.5);

describe.each(dtypes)(
  'kernels of probing and fine-tuning in %s against the CPU, within %d',
  (dtype, tolerance) => {
    it.each([
      { batch: 1, length: 1, heads: 1, size: 5 },
      { batch: 3, length: 31, heads: 1, size: 12 },
      { batch: 7, length: 33, heads: 3, size: 16 },
      { batch: 2, length: 257, heads: 2, size: 8 },
      // Rows longer than a lane's registers.
      { batch: 2, length: 641, heads: 1, size: 4 },
      // More samples than groups of them.
      { batch: 400, length: 2, heads: 1, size: 4 },
    ])('biasedSelfAttention and its gradients, %o', ({ batch, length, heads, size }) => {
      expectSame(dtype, 8 * tolerance, (b) => {
        const qkv = b.input([batch, length, 3 * heads * size], 1, { factor: 3 });
        const bias = b.input([heads, length, length], 2, { dtype: 'f32', factor: 2 });
        const [out, logSum] = native.biasedSelfAttention(qkv, bias, heads, size ** -0.5);
        const [dqkv, dbias] = native.biasedSelfAttentionBackward(
          b.input([batch, length, heads * size], 3),
          ...([qkv, bias, out, logSum, heads, size ** -0.5] as const),
        );
        // One token: the softmax is 1 and has no slope; what is left beside dv is rounding.
        return length === 1 ? { out, logSum } : { out, logSum, dqkv, dbias };
      });
    });

    it.each([
      { batch: 1, tokens: 1, width: 1, start: 0 },
      { batch: 3, tokens: 2, width: 31, start: 1 },
      { batch: 2, tokens: 33, width: 257, start: 1 },
      { batch: 2, tokens: 9, width: 520, start: 0 },
    ])('meanTokens and its gradient, %o', ({ batch, tokens, width, start }) => {
      expectSame(dtype, 2 * tolerance, (b) => ({
        y: native.meanTokens(b.input([batch, tokens, width], 1), start),
        dx: native.meanTokensBackward(b.input([batch, width], 2), start, tokens),
      }));
    });

    it.each([
      [3, 1],
      [31, 33],
      [33, 31],
      [257, 8],
      [9, 257],
      [64, 768],
    ])('batchNorm and its gradient, %i samples of %i', (rows, width) => {
      expectSame(dtype, 4 * tolerance, (b) => {
        const x = b.input([rows, width], 1, { factor: 2 });
        const dy = b.input([rows, width], 2);
        const runningMean = b.input([width], 3, { dtype: 'f32' });
        const runningVariance = native.relu(b.input([width], 4, { dtype: 'f32' }));
        const batches = integers(b, [41], [1]);
        const run = (training: boolean): [Handle, Handle, Handle] =>
          native.batchNorm(x, runningMean, runningVariance, batches, 0.1, 1e-2, training);
        const [y, mean, rstd] = run(true);
        const [moved, spread] = [copied(runningMean), copied(runningVariance)];
        const [evaluated, evaluatedMean, evaluatedRstd] = run(false);
        return {
          ...{ y, mean, rstd, moved, spread, batches, evaluated, runningMean, runningVariance },
          dx: native.batchNormBackward(dy, x, mean, rstd, true),
          dEvaluated: native.batchNormBackward(dy, x, evaluatedMean, evaluatedRstd, false),
        };
      });
    });

    it.each([
      [1, 2],
      [7, 33],
      [31, 257],
      [5, 1000],
    ])('softCrossEntropy, smoothCrossEntropy and labelRanks, %i rows of %i', (rows, classes) => {
      expectSame(dtype, 8 * tolerance, (b) => {
        const logits = b.input([rows, classes], 1, { factor: 8 });
        const targets = native.relu(b.input([rows, classes], 2, { dtype: 'f32' }));
        const labels = b.ids([rows], 3, classes);
        const [soft, dsoft] = native.softCrossEntropy(logits, targets);
        const [smooth, dsmooth] = native.smoothCrossEntropy(logits, labels, 0.1);
        const [hard, dhard] = native.smoothCrossEntropy(logits, labels, 0);
        return { soft, dsoft, smooth, dsmooth, hard, dhard };
      });
    });

    it('labelRanks: ties, and logits that are no number', () => {
      for (const [name, { cpu, cuda }] of Object.entries(
        onBoth(dtype, (b) => {
          const rows = [1, 2, 2, 3, 2, NaN, NaN, 1, 0, 5, 5, 5, -1, NaN, 4].map(Number);
          const wide = Tensor.from(Float32Array.from(rows), [3, 5], b.device).handle;
          const logits = b.dtype === 'f32' ? wide : native.cast(wide, b.dtype);
          const of = (...labels: number[]): Handle => native.labelRanks(logits, integers(b, labels, [3]));
          return {
            ties: of(2, 2, 0),
            none: of(4, 0, 3),
            // 255 different numbers: many equals among 1000.
            many: native.labelRanks(b.input([9, 1000], 1, { factor: 1 }), b.ids([9], 2, 1000)),
          };
        }),
      )) {
        expect(Array.from(cuda), name).toEqual(Array.from(cpu));
      }
    });

    it.each([
      { shape: [1, 1, 1, 1], boxes: 1 },
      { shape: [2, 3, 5, 7], boxes: 2 },
      { shape: [3, 3, 32, 40], boxes: 3 },
    ])('eraseBoxes with zeros, colours and noise, %o', ({ shape, boxes }) => {
      const [batch = 0, , height = 0, width = 0] = shape;
      expectSame(dtype, 2 * tolerance, (b) => {
        // Some of no area, some beyond the picture, some over others.
        const places = Array.from({ length: batch * boxes }, (_, i) => [
          (i * 3) % height,
          (i * 5) % width,
          (i % 4) * Math.ceil(height / 3),
          Math.ceil(width / (1 + (i % 3))),
        ]);
        places[0] = [0, 0, height, Math.ceil(width / 2)];
        const ids = integers(
          b,
          Array.from({ length: batch }, (_, i) => 7 + 1000 * i),
          [batch],
        );
        return Object.fromEntries(
          ['zeros', 'colours', 'noise'].map((name, fill) => {
            const images = b.input(shape, 1);
            native.eraseBoxes(images, integers(b, places.flat(), [batch, boxes, 4]), ids, fill, 12345, 6, 78);
            return [name, images];
          }),
        );
      });
    });

    it.each([[[1, 1, 1, 1]], [[3, 3, 5, 7]], [[4, 3, 9, 32]]])('mixImages, %o', (shape) => {
      const [batch = 0, , height = 0, width = 0] = shape;
      expectSame(dtype, 2 * tolerance, (b) => {
        const each = <T>(value: (i: number) => T): T[] => Array.from({ length: batch }, (_, i) => value(i));
        const boxes = each((i) => [i % height, 1, i === 1 ? 0 : Math.ceil(height / 2), width]).flat();
        const weight = Float32Array.from(each((i) => [1, 0.25, 0.7, 1][i % 4]!));
        const y = native.mixImages(
          b.input(shape, 1),
          integers(
            b,
            each((i) => batch - 1 - i),
            [batch],
          ),
          Tensor.from(weight, [batch], b.device).handle,
          integers(b, boxes, [batch, 4]),
        );
        return { y };
      });
    });
  },
);

describe('positionBias on CUDA against the CPU', () => {
  it.each([
    { tokens: 1, rows: 1, heads: 1 },
    { tokens: 5, rows: 9, heads: 3 },
    { tokens: 33, rows: 31, heads: 8 },
    { tokens: 50, rows: 172, heads: 12 },
    { tokens: 16, rows: 257, heads: 17 },
  ])('and its gradient, %o', ({ tokens, rows, heads }) => {
    for (const accumulate of [false, true]) {
      expectSame('f32', 2e-6, (b) => {
        const index = b.ids([tokens, tokens], 1, rows);
        const dtable = b.input([rows, heads], 4);
        native.positionBiasBackward(b.input([heads, tokens, tokens], 3), index, dtable, accumulate);
        return { y: native.positionBias(b.input([rows, heads], 2), index), dtable };
      });
    }
  });
});
