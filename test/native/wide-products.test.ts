import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { numbersOf, randomNumbers, relativeError, tensorOf } from '../tensor/numbers.js';

// Products large enough for packed panels. On CPUs that multiply in pairs of sums (native/cpu/paired_kernel.h) an error
// is relative to a row's and a column's size only because they are balanced: these rows differ as much as f32 allows.

const rows = 100;
const outs = 160;

const kinds: [string, (v: number, at: number) => number][] = [
  ['zeros', () => 0],
  ['of random numbers', (v) => v],
  ['tiny', (v) => v * 1e-30],
  ['too small to be squared', (v) => v * 1e-36],
  ['large', (v) => v * 1e15],
  ['positive', (v) => Math.abs(v)],
  ['far from zero', (v) => v + 3],
  ['with one outlier', (v, at) => (at === 7 ? 300 : v)],
  ['nearly all zeros', (v, at) => (at % 37 === 5 ? v : 0)],
];

/** [rows, ins], row r of kind r mod their number. */
function mixed(ins: number, seed: number): Float32Array {
  const numbers = randomNumbers(rows * ins, seed);
  return Float32Array.from(numbers, (v, i) => kinds[Math.floor(i / ins) % kinds.length]![1](v, i % ins));
}

/** a [m,k] · b [n,k]ᵀ in float64. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, m: number, n: number, k: number): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[i * k + p]! * b[j * k + p]!;
      c[i * n + j] = sum;
    }
  return c;
}

function transposed(a: Float32Array, m: number, n: number): Float32Array {
  return Float32Array.from(a, (_, i) => a[(i % m) * n + Math.floor(i / m)]!);
}

function expectRows(got: ArrayLike<number>, wanted: Float64Array, width: number): void {
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: width }, (_, c) => got[r * width + c]!);
    const expected = wanted.subarray(r * width, (r + 1) * width);
    if (expected.every((v) => v === 0)) expect(row).toEqual(row.map(() => 0));
    else expect(relativeError(row, expected), `row ${r}, ${kinds[r % kinds.length]![0]}`).toBeLessThan(4e-6);
  }
}

describe.each([61, 768, 1300])('wide f32 products over %i numbers', (ins) => {
  const x = mixed(ins, 1);
  const w = Float32Array.from(randomNumbers(outs * ins, 2));

  it('are right in every row, whatever its size: forward', () => {
    scope(() => {
      const y = native.linear(
        tensorOf(x, [rows, ins]).handle,
        tensorOf(w, [outs, ins]).handle,
        Tensor.zeros([outs]).handle,
      );
      expectRows(numbersOf(new Tensor(y)), product(x, w, rows, outs, ins), outs);
    });
  });

  it('backward to the input', () => {
    scope(() => {
      const dx = native.linearBackwardInput(
        tensorOf(x, [rows, ins]).handle,
        tensorOf(transposed(w, outs, ins), [ins, outs]).handle,
      );
      expectRows(numbersOf(new Tensor(dx)), product(x, w, rows, outs, ins), outs);
    });
  });

  it('backward to the weight, added to what is there', () => {
    scope(() => {
      const dweight = Tensor.zeros([rows, outs]);
      const dbias = Tensor.zeros([rows]);
      const dy = tensorOf(transposed(x, rows, ins), [ins, rows]);
      const input = tensorOf(transposed(w, outs, ins), [ins, outs]);
      for (const accumulate of [false, true])
        native.linearBackwardWeight(
          dy.handle,
          input.handle,
          dweight.handle,
          dbias.handle,
          accumulate,
          accumulate,
        );
      const wanted = product(x, w, rows, outs, ins).map((v) => 2 * v);
      expectRows(numbersOf(dweight), wanted, outs);
    });
  });

  it('keep what is not finite to its row', () => {
    const spoilt = Float32Array.from(x);
    spoilt[3 * ins + 5] = Number.NaN;
    spoilt[64 * ins] = Number.POSITIVE_INFINITY;
    scope(() => {
      const bias = tensorOf(new Float32Array(outs), [outs]);
      const compute = (numbers: Float32Array) =>
        numbersOf(
          new Tensor(
            native.linear(
              tensorOf(numbers, [rows, ins]).handle,
              tensorOf(w, [outs, ins]).handle,
              bias.handle,
            ),
          ),
        );
      const clean = compute(x);
      const got = compute(spoilt);
      for (let i = 0; i < rows * outs; i++) {
        const row = Math.floor(i / outs);
        if (row === 3 || row === 64) expect(Number.isFinite(got[i]!)).toBe(false);
        else expect(got[i]).toBe(clean[i]);
      }
    });
  });
});
