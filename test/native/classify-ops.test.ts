import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Handle } from '../../lib/native/bindings.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import {
  numbersOf,
  product,
  randomNumbers,
  relativeError,
  roundToBf16,
  tensorOf,
} from '../tensor/numbers.js';
import * as classify from './classify-plain.js';
import * as plain from './ops-plain.js';

type Dtype = 'f32' | 'bf16';
const dtypes: [Dtype, number][] = [
  ['f32', 1e-5],
  ['bf16', 1e-2],
];

/** Random numbers that the dtype holds exactly. */
function exact(shape: readonly number[], seed: number, dtype: Dtype, factor = 1): Float32Array {
  const values = randomNumbers(product(shape), seed).map((v) => factor * v);
  return dtype === 'bf16' ? roundToBf16(values) : Float32Array.from(values);
}

const numbers = (handle: Handle): Float32Array | Float64Array => numbersOf(new Tensor(handle));
const integers = (values: ArrayLike<number>, shape: number[]): Tensor =>
  Tensor.from(Int32Array.from(values), shape);

/** q, k and v [batch, length, 3, width] apart. */
function parts(qkv: ArrayLike<number>, width: number): [Float64Array, Float64Array, Float64Array] {
  const part = (p: number): Float64Array =>
    Float64Array.from(
      { length: qkv.length / 3 },
      (_, i) => qkv[Math.floor(i / width) * 3 * width + p * width + (i % width)]!,
    );
  return [part(0), part(1), part(2)];
}

describe.each(dtypes)(
  "classifiers' ops in %s against plain float64 formulas, within %d",
  (dtype, tolerance) => {
    it.each([
      { batch: 1, length: 1, heads: 1, size: 4 },
      { batch: 3, length: 17, heads: 1, size: 12 },
      { batch: 2, length: 130, heads: 3, size: 16 },
      { batch: 5, length: 33, heads: 4, size: 5 },
    ])('biasedSelfAttention and its backward, %o', ({ batch, length, heads, size }) => {
      const width = heads * size;
      const [shape, row] = [
        [batch, length, width],
        [batch, length, 3 * width],
      ];
      const qkv = exact(row, 1, dtype, 2);
      const bias = exact([heads, length, length], 2, 'f32', 3);
      const dout = exact(shape, 3, dtype);
      const [q, k, v] = parts(qkv, width);
      const of = { batch, queries: length, keys: length, heads, size, scale: size ** -0.5, bias };
      const wanted = plain.attention(q, k, v, dout, of);
      scope(() => {
        const tqkv = tensorOf(qkv, row, dtype);
        const tbias = tensorOf(bias, [heads, length, length]);
        const [out, logSum] = native.biasedSelfAttention(tqkv.handle, tbias.handle, heads, of.scale);
        const [dqkv, dbias] = native.biasedSelfAttentionBackward(
          tensorOf(dout, shape, dtype).handle,
          tqkv.handle,
          tbias.handle,
          out,
          logSum,
          heads,
          of.scale,
        );
        const [dq, dk, dv] = parts(numbers(dqkv), width);
        expect(relativeError(numbers(out), wanted.out), 'out').toBeLessThan(tolerance);
        expect(relativeError(dv, wanted.dv), 'dv').toBeLessThan(tolerance);
        // A single token has all the weight: the other gradients are rounding noise around zero.
        if (length === 1) return;
        expect(relativeError(dq, wanted.dq), 'dq').toBeLessThan(2 * tolerance);
        expect(relativeError(dk, wanted.dk), 'dk').toBeLessThan(2 * tolerance);
        expect(relativeError(numbers(dbias), wanted.dbias), 'dbias').toBeLessThan(2 * tolerance);
      });
    });

    it('biasedSelfAttention with a bias of zeros is selfAttention, on the CPU to the bit', () => {
      scope(() => {
        const qkv = tensorOf(exact([2, 17, 72], 1, dtype), [2, 17, 72], dtype);
        const bias = Tensor.zeros([4, 17, 17]);
        const [out] = native.biasedSelfAttention(qkv.handle, bias.handle, 4, 0.4);
        const [plainOut] = native.selfAttention(qkv.handle, 4, 0.4);
        const [biased, unbiased] = [numbers(out), numbers(plainOut)];
        if (defaultDevice() === 'cpu') expect(biased).toEqual(unbiased);
        expect(relativeError(biased, unbiased)).toBeLessThan(tolerance);
      });
    });

    it.each([
      [2, 1],
      [7, 33],
      [64, 130],
    ])('batchNorm and its backward, %i samples of %i', (rows, width) => {
      // Far from zero, where a variance as E[x²] − E[x]² would lose its digits.
      const x = exact([rows, width], 1, dtype).map((v) => (dtype === 'f32' ? v + 30 : v));
      const dy = exact([rows, width], 2, dtype);
      const wanted = classify.batchNorm(x, dy, rows, 1e-5);
      scope(() => {
        const tx = tensorOf(x, [rows, width], dtype);
        const [mean, variance] = [
          tensorOf(new Float32Array(width).fill(0.5), [width]),
          Tensor.zeros([width]),
        ];
        const batches = integers([41], []);
        const run = (training: boolean): [Handle, Handle, Handle] =>
          native.batchNorm(tx.handle, mean.handle, variance.handle, batches.handle, 0.1, 1e-5, training);
        const [y, batchMean, rstd] = run(true);
        const tdy = tensorOf(dy, [rows, width], dtype).handle;
        expect(relativeError(numbers(y), wanted.y), 'y').toBeLessThan(3 * tolerance);
        const dx = numbers(native.batchNormBackward(tdy, tx.handle, batchMean, rstd, true));
        // Two samples leave no direction but the mean's and the slope's: the gradient is all cancellation.
        if (rows > 2) expect(relativeError(dx, wanted.dx), 'dx').toBeLessThan(3 * tolerance);
        const moved = wanted.mean.map((m) => 0.9 * 0.5 + 0.1 * m);
        expect(relativeError(numbersOf(mean), moved), 'running mean').toBeLessThan(1e-5);
        const spread = wanted.unbiased.map((u) => 0.1 * u);
        expect(relativeError(numbersOf(variance), spread), 'running variance').toBeLessThan(1e-4);
        expect([...batches.dataSync()]).toEqual([42]);

        const before = [...numbersOf(mean), ...numbersOf(variance)];
        const [evaluated, m, s] = run(false);
        const factor = [...numbersOf(variance)].map((u) => 1 / Math.sqrt(u + 1e-5));
        const normal = Array.from(
          x,
          (value, i) => (value - numbersOf(mean)[i % width]!) * factor[i % width]!,
        );
        expect(relativeError(numbers(evaluated), normal), 'evaluated').toBeLessThan(tolerance);
        const flat = numbers(native.batchNormBackward(tdy, tx.handle, m, s, false));
        expect(
          relativeError(
            flat,
            dy.map((d, i) => d * factor[i % width]!),
          ),
          'evaluated dx',
        ).toBeLessThan(tolerance);
        expect([...numbersOf(mean), ...numbersOf(variance), ...batches.dataSync()]).toEqual([...before, 42]);
      });
    });

    it.each([
      [1, 2],
      [7, 33],
      [5, 1000],
    ])('softCrossEntropy, %i rows of %i classes', (rows, classes) => {
      const logits = exact([rows, classes], 1, dtype, 8);
      const targets = exact([rows, classes], 2, 'f32').map(Math.abs);
      const wanted = classify.softCrossEntropy(logits, targets, rows);
      scope(() => {
        const x = tensorOf(logits, [rows, classes], dtype);
        const [loss, grad] = native.softCrossEntropy(x.handle, tensorOf(targets, [rows, classes]).handle);
        expect(relativeError(numbers(loss), [wanted.loss]), 'loss').toBeLessThan(1e-5);
        expect(relativeError(numbers(grad), wanted.grad), 'grad').toBeLessThan(tolerance);
      });
    });

    it.each([
      [1, 2, 0.1],
      [7, 33, 0],
      [5, 1000, 0.3],
    ])('smoothCrossEntropy, %i rows of %i classes, smoothing %d', (rows, classes, smoothing) => {
      const logits = exact([rows, classes], 1, dtype, 8);
      const labels = Array.from({ length: rows }, (_, i) => (i * 17) % classes);
      const targets = classify.smoothTargets(labels, classes, smoothing);
      const wanted = classify.softCrossEntropy(logits, targets, rows);
      scope(() => {
        const x = tensorOf(logits, [rows, classes], dtype);
        const [loss, grad] = native.smoothCrossEntropy(x.handle, integers(labels, [rows]).handle, smoothing);
        expect(relativeError(numbers(loss), [wanted.loss]), 'loss').toBeLessThan(1e-5);
        expect(relativeError(numbers(grad), wanted.grad), 'grad').toBeLessThan(tolerance);
      });
    });

    it('labelRanks, with ties in the order of the classes', () => {
      // Few distinct values: most rows have ties with the label's.
      const logits = exact([200, 13], 1, dtype, 3).map(Math.round);
      const labels = Array.from({ length: 200 }, (_, i) => (i * 7) % 13);
      scope(() => {
        const x = tensorOf(logits, [200, 13], dtype);
        const ranks = new Tensor(native.labelRanks(x.handle, integers(labels, [200]).handle)).dataSync();
        expect([...ranks]).toEqual(classify.labelRanks(logits, labels));
      });
    });

    it.each([
      [2, 5, 1, 7],
      [3, 17, 0, 33],
      [1, 2, 1, 1],
    ])('meanTokens and its backward, %i × %i tokens from %i on, of %i', (batch, tokens, start, width) => {
      const x = exact([batch, tokens, width], 1, dtype);
      const dy = exact([batch, width], 2, dtype);
      const count = tokens - start;
      const y = new Float64Array(batch * width);
      const dx = new Float64Array(x.length);
      for (let i = 0; i < x.length; i++) {
        const [b, t] = [Math.floor(i / (tokens * width)), Math.floor(i / width) % tokens];
        if (t < start) continue;
        y[b * width + (i % width)]! += x[i]! / count;
        dx[i] = dy[b * width + (i % width)]! / count;
      }
      scope(() => {
        const tx = tensorOf(x, [batch, tokens, width], dtype);
        expect(relativeError(numbers(native.meanTokens(tx.handle, start)), y)).toBeLessThan(tolerance);
        const back = native.meanTokensBackward(tensorOf(dy, [batch, width], dtype).handle, start, tokens);
        expect(relativeError(numbers(back), dx)).toBeLessThan(tolerance);
      });
    });
  },
);

describe("classifiers' ops", () => {
  it('positionBias gathers by pair, and its backward adds up in the table', () => {
    const index = [0, 2, 2, 1];
    scope(() => {
      const table = tensorOf([1, 10, 2, 20, 3, 30], [3, 2]);
      const at = integers(index, [2, 2]);
      expect([...numbers(native.positionBias(table.handle, at.handle))]).toEqual([
        1, 3, 3, 2, 10, 30, 30, 20,
      ]);
      const dtable = tensorOf([1, 1, 1, 1, 1, 1], [3, 2]);
      const dy = tensorOf([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]);
      native.positionBiasBackward(dy.handle, at.handle, dtable.handle, true);
      expect([...numbersOf(dtable)]).toEqual([2, 6, 5, 9, 6, 14]);
      native.positionBiasBackward(dy.handle, at.handle, dtable.handle, false);
      expect([...numbersOf(dtable)]).toEqual([1, 5, 4, 8, 5, 13]);
    });
  });

  it('labelRanks puts a label without a number last', () => {
    scope(() => {
      const logits = tensorOf([Number.NaN, 1, 2, 3, Number.NaN, 1], [2, 3]);
      const ranks = native.labelRanks(logits.handle, integers([0, 0], [2]).handle);
      expect([...new Tensor(ranks).dataSync()]).toEqual([2, 0]);
    });
  });

  it('refuse what does not fit, naming op and shapes', () => {
    scope(() => {
      const qkv = Tensor.zeros([2, 3, 24]);
      const wrong = Tensor.zeros([2, 3, 4]);
      const one = Tensor.zeros([1, 4]);
      const statistics = Tensor.zeros([4]);
      const batches = integers([0], []);
      const labels = integers([0], [1]);
      const { handle } = statistics;
      expect(() => native.biasedSelfAttention(qkv.handle, wrong.handle, 2, 1)).toThrow(
        /\[biased_self_attention\] bias is \[2,3,4\], expected \[2,3,3\]/,
      );
      expect(() => native.batchNorm(one.handle, handle, handle, batches.handle, 0.1, 1e-5, true)).toThrow(
        /\[batch_norm\] x \[1,4\] has no variance over its batch; train with at least 2 samples/,
      );
      expect(() => native.softCrossEntropy(one.handle, handle)).toThrow(/targets is \[4\], expected \[1,4\]/);
      expect(() => native.smoothCrossEntropy(one.handle, labels.handle, 1)).toThrow(
        /smoothing 1 is outside \[0, 1\)/,
      );
      expect(() => native.meanTokens(qkv.handle, 3)).toThrow(/no tokens from 3 on in \[2,3,24\]/);
    });
  });

  it('name a label or an index out of range when the work is done', () => {
    scope(() => {
      const logits = Tensor.zeros([2, 3]);
      const labels = integers([0, 3], [2]);
      const ranks = new Tensor(native.labelRanks(logits.handle, labels.handle));
      expect(() => ranks.dataSync()).toThrow(/label 3 of row 1 is outside 3 classes/);
      const bias = new Tensor(
        native.positionBias(Tensor.zeros([3, 2]).handle, integers([0, 3], [1, 2]).handle),
      );
      expect(() => bias.dataSync()).toThrow(/index 3 is outside a table of 3/);
    });
  });
});
