import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Handle } from '../../lib/native/bindings.js';
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

/** Each result of the op against the plain formula's. */
function expectClose(
  got: Record<string, ArrayLike<number>>,
  wanted: Record<string, ArrayLike<number>>,
  tolerance: number,
): void {
  for (const [name, values] of Object.entries(got)) {
    expect(relativeError(values, wanted[name]!), name).toBeLessThan(tolerance);
  }
}

describe.each(dtypes)('ops in %s against plain float64 formulas, within %d', (dtype, tolerance) => {
  it.each([
    [1, 1, 1],
    [33, 31, 7],
    [130, 65, 96],
    [65, 34, 150], // large enough for packed panels, with rows and columns left over
    [97, 160, 70],
  ])('linear and its backward, %i rows of %i to %i', (rows, ins, outs) => {
    const x = exact([rows, ins], 1, dtype);
    const w = exact([outs, ins], 2, dtype);
    const b = exact([outs], 3, 'f32');
    const dy = exact([rows, outs], 4, dtype);
    scope(() => {
      const [tx, tw] = [tensorOf(x, [rows, ins], dtype), tensorOf(w, [outs, ins], dtype)];
      const tdy = tensorOf(dy, [rows, outs], dtype);
      const [dweight, dbias] = [Tensor.zeros([outs, ins]), Tensor.zeros([outs])];
      native.linearBackwardWeight(tdy.handle, tx.handle, dweight.handle, dbias.handle, false, false);
      expectClose(
        {
          y: numbers(native.linear(tx.handle, tw.handle, tensorOf(b, [outs]).handle)),
          dx: numbers(native.linearBackwardInput(tdy.handle, tw.handle)),
          dweight: numbersOf(dweight),
          dbias: numbersOf(dbias),
        },
        plain.linear(x, w, b, dy),
        tolerance,
      );
    });
  });

  it.each([
    [1, 33],
    [31, 1000],
    [7, 64],
  ])('layerNorm and its backward, %i rows of %i', (rows, width) => {
    // Far from zero, where a variance as E[x²] − E[x]² would lose its digits.
    const x = exact([rows, width], 1, dtype).map((v) => (dtype === 'f32' ? v + 3 : v));
    const w = exact([width], 2, 'f32');
    const b = exact([width], 3, 'f32');
    const dy = exact([rows, width], 4, dtype);
    scope(() => {
      const tx = tensorOf(x, [rows, width], dtype);
      const [tw, tb] = [tensorOf(w, [width]), tensorOf(b, [width])];
      const [y, mean, rstd] = native.layerNorm(tx.handle, tw.handle, tb.handle, 1e-6, dtype);
      const [dweight, dbias] = [Tensor.zeros([width]), Tensor.zeros([width])];
      const again = Tensor.empty([rows, width], dtype);
      const dx = native.layerNormBackward(
        tensorOf(dy, [rows, width], dtype).handle,
        tx.handle,
        tw.handle,
        tb.handle,
        mean,
        rstd,
        dweight.handle,
        dbias.handle,
        false,
        again.handle,
      );
      const expected = plain.layerNorm(x, w, b, dy, 1e-6);
      expectClose(
        {
          y: numbers(y),
          again: numbersOf(again),
          dx: numbers(dx),
          dweight: numbersOf(dweight),
          dbias: numbersOf(dbias),
        },
        { ...expected, again: expected.y },
        tolerance,
      );
    });
  });

  it.each([
    { queries: 1, keys: 7, size: 5 },
    { queries: 33, keys: 130, size: 16 },
    { queries: 130, keys: 33, size: 12 },
    { queries: 7, keys: 257, size: 64 },
  ])('crossAttention and its backward, %o', ({ queries, keys, size }) => {
    const of = { batch: 2, heads: 3, queries, keys, size, scale: size ** -0.5 };
    const width = 3 * size;
    const [qShape, kShape] = [[2, queries, width] as const, [2, keys, width] as const];
    const [q, k, v] = [exact(qShape, 1, dtype, 3), exact(kShape, 2, dtype, 3), exact(kShape, 3, dtype)];
    const dout = exact(qShape, 4, dtype);
    scope(() => {
      const [tq, tk, tv] = [
        tensorOf(q, qShape, dtype),
        tensorOf(k, kShape, dtype),
        tensorOf(v, kShape, dtype),
      ];
      const [out, logSum] = native.crossAttention(tq.handle, tk.handle, tv.handle, 3, of.scale);
      const [dq, dk, dv] = native.crossAttentionBackward(
        tensorOf(dout, qShape, dtype).handle,
        tq.handle,
        tk.handle,
        tv.handle,
        out,
        logSum,
        3,
        of.scale,
      );
      const got = { out: numbers(out), dq: numbers(dq), dk: numbers(dk), dv: numbers(dv) };
      // In bf16 the probabilities and their gradients are rounded, too, on the way to the gradients.
      expectClose(got, plain.attention(q, k, v, dout, of), dtype === 'bf16' ? 2e-2 : tolerance);
    });
  });

  it.each([1, 7, 33, 130])('selfAttention is crossAttention of its three parts, %i tokens', (tokens) => {
    const [heads, size, scale] = [2, 12, 0.4];
    const width = heads * size;
    const parts = [1, 2, 3].map((seed) => exact([2, tokens, width], seed, dtype, 2));
    const fused = new Float32Array(2 * tokens * 3 * width);
    const split = (all: ArrayLike<number>, part: number): Float64Array =>
      Float64Array.from(
        { length: 2 * tokens * width },
        (_, i) => all[Math.floor(i / width) * 3 * width + part * width + (i % width)]!,
      );
    parts.forEach((part, p) => {
      part.forEach((value, i) => {
        fused[Math.floor(i / width) * 3 * width + p * width + (i % width)] = value;
      });
    });
    const dout = exact([2, tokens, width], 4, dtype);
    scope(() => {
      const qkv = tensorOf(fused, [2, tokens, 3 * width], dtype);
      const [out, logSum] = native.selfAttention(qkv.handle, heads, scale);
      const tdout = tensorOf(dout, [2, tokens, width], dtype);
      const dqkv = numbers(native.selfAttentionBackward(tdout.handle, qkv.handle, out, logSum, heads, scale));
      const of = { batch: 2, queries: tokens, keys: tokens, heads, size, scale };
      const wanted = plain.attention(parts[0]!, parts[1]!, parts[2]!, dout, of);
      const got = { out: numbers(out), dv: split(dqkv, 2) };
      expectClose(got, wanted, tolerance);
      // A single token has all the weight: no gradient reaches q and k, and there is nothing to divide by.
      if (tokens > 1) expectClose({ dq: split(dqkv, 0), dk: split(dqkv, 1) }, wanted, tolerance);
      else expect(Math.max(...split(dqkv, 0), ...split(dqkv, 1))).toBeLessThan(tolerance);
    });
  });

  it('gelu and its backward with a bias, out to ±9', () => {
    const [rows, width] = [33, 31];
    const x = exact([rows, width], 1, dtype, 8);
    const bias = exact([width], 2, 'f32');
    const dy = exact([rows, width], 3, dtype);
    const at = Array.from(x, (v, i) => plain.gelu(v + bias[i % width]!));
    const dx = at.map(({ derivative }, i) => derivative * dy[i]!);
    const dbias = new Float64Array(width);
    for (const [i, d] of dx.entries()) dbias[i % width]! += d;
    scope(() => {
      const [tx, tb] = [tensorOf(x, [rows, width], dtype), tensorOf(bias, [width])];
      const sums = Tensor.zeros([width]);
      const tdy = tensorOf(dy, [rows, width], dtype);
      const again = Tensor.empty([rows, width], dtype);
      const back = native.geluBackward(tdy.handle, tx.handle, tb.handle, sums.handle, false, again.handle);
      const y = at.map(({ value }) => value);
      expectClose(
        {
          y: numbers(native.gelu(tx.handle, tb.handle)),
          again: numbersOf(again),
          dx: numbers(back),
          dbias: numbersOf(sums),
        },
        { y, again: y, dx, dbias },
        tolerance,
      );
    });
  });

  it.each([
    [1, 2],
    [31, 33],
    [7, 8192],
  ])('crossEntropy, %i rows of %i classes', (rows, classes) => {
    const logits = exact([rows, classes], 1, dtype, 6);
    const labels = Int32Array.from({ length: rows }, (_, r) =>
      r % 2 === 0
        ? (r * 31 + 1) % classes
        : logits
            .subarray(r * classes, (r + 1) * classes)
            .reduce((best, value, c, row) => (value > row[best]! ? c : best), 0),
    );
    const wanted = plain.crossEntropy(logits, labels);
    for (const inPlace of [false, true]) {
      scope(() => {
        const x = tensorOf(logits, [rows, classes], dtype);
        const target = Tensor.from(labels, [rows]);
        const [loss, accuracy, grad] = native.crossEntropy(x.handle, target.handle, inPlace, 1);
        expectClose(
          { loss: numbers(loss), grad: numbers(grad) },
          { loss: [wanted.loss], grad: wanted.grad },
          tolerance,
        );
        expect(numbers(accuracy)[0]).toBeCloseTo(wanted.accuracy, 6);
        if (!inPlace) expect(numbersOf(x)).toEqual(logits);
      });
    }
  });

  it('crossEntropy of a row that is right with confidence: exact to the rounding of its logits', () => {
    // log(1 + tiny) has few digits of its own in f32, as in every f32 softmax: the bound is absolute.
    const logits = exact([1, 2], 1, dtype, 6);
    const wanted = plain.crossEntropy(logits, [0]);
    scope(() => {
      const x = tensorOf(logits, [1, 2], dtype);
      const [loss] = native.crossEntropy(x.handle, Tensor.from(Int32Array.of(0), [1]).handle, false, 1);
      expect(wanted.loss).toBeLessThan(1e-3);
      expect(Math.abs(numbers(loss)[0]! - wanted.loss)).toBeLessThan(2 ** -23 * 6);
    });
  });

  it('crossEntropy of large logits neither overflows nor loses the loss', () => {
    scope(() => {
      const x = tensorOf([1000, 1024, -1000, 0], [2, 2], dtype);
      const [loss, , grad] = native.crossEntropy(
        x.handle,
        Tensor.from(Int32Array.of(0, 1), [2]).handle,
        false,
        1,
      );
      expect(numbers(loss)[0]).toBeCloseTo(12, 3);
      expect([...numbers(grad)].every(Number.isFinite)).toBe(true);
    });
  });

  it('residual: an f32 stream with a branch of the dtype', () => {
    const [shape, width] = [[3, 7, 33] as const, 33];
    const x = exact(shape, 1, 'f32');
    const branch = exact(shape, 2, dtype);
    const gamma = exact([width], 3, 'f32');
    const keep = Float32Array.of(0, 1.25, 2);
    const dy = exact(shape, 4, 'f32');
    scope(() => {
      const [tx, tb] = [tensorOf(x, shape), tensorOf(branch, shape, dtype)];
      const [tg, tk] = [tensorOf(gamma, [width]), tensorOf(keep, [3])];
      const dgamma = Tensor.zeros([width]);
      const back = native.residualBackward(
        tensorOf(dy, shape).handle,
        tb.handle,
        tg.handle,
        tk.handle,
        dtype,
        dgamma.handle,
        false,
      );
      expectClose(
        {
          y: numbers(native.residual(tx.handle, tb.handle, tg.handle, tk.handle)),
          dbranch: numbers(back),
          dgamma: numbersOf(dgamma),
        },
        plain.residual(x, branch, gamma, keep, dy),
        tolerance,
      );
    });
  });

  it('mse, and its gradient', () => {
    const [x, target] = [exact([5, 31], 1, dtype), exact([5, 31], 2, 'f32')];
    const loss = x.reduce((sum, v, i) => sum + (v - target[i]!) ** 2, 0) / x.length;
    const dx = Array.from(x, (v, i) => (2 * 0.5 * (v - target[i]!)) / x.length);
    scope(() => {
      const tx = tensorOf(x, [5, 31], dtype);
      const tt = tensorOf(target, [5, 31], dtype);
      const rounded = numbersOf(tt);
      expect(relativeError(rounded, target)).toBeLessThan(tolerance);
      expectClose(
        {
          loss: numbers(native.mse(tx.handle, tt.handle)),
          dx: numbers(native.mseBackward(tensorOf([0.5], []).handle, tx.handle, tt.handle)),
        },
        { loss: [loss], dx },
        tolerance,
      );
    });
  });
});

describe('casts', () => {
  it('to bf16 round to nearest even, and keep infinities and NaN', () => {
    const values = [
      ...randomNumbers(1000, 1),
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      -0,
      1e38,
      Number.POSITIVE_INFINITY,
    ];
    scope(() => {
      const cast = new Tensor(native.cast(tensorOf(values, [values.length]).handle, 'bf16'));
      expect(numbersOf(cast)).toEqual(roundToBf16(values));
      const nan = new Tensor(native.cast(tensorOf([Number.NaN], [1]).handle, 'bf16'));
      expect(numbersOf(nan)[0]).toBeNaN();
    });
  });
});
