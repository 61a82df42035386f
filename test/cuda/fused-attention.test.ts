import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype } from '../../lib/native/bindings.js';
import { relativeError } from '../tensor/numbers.js';
import { type Case, onBoth } from './both-devices.js';

/** Largest relative error against the CPU's backend. */
const dtypes: [Dtype, number][] = [
  ['bf16', 2.5e-2],
  ['f16', 4e-3],
];

/** Heads that the library's kernels take: multiples of 8 numbers. Lengths around a tile, and tails. */
const shapes = [
  { batch: 1, heads: 1, size: 8, queries: 1, keys: 33 },
  { batch: 2, heads: 3, size: 8, queries: 31, keys: 33 },
  { batch: 2, heads: 2, size: 16, queries: 7, keys: 65 },
  { batch: 1, heads: 2, size: 40, queries: 33, keys: 31 },
];

function expectSame(dtype: Dtype, tolerance: number, run: Case): void {
  for (const [name, { cpu, cuda }] of Object.entries(onBoth(dtype, run))) {
    expect(relativeError(cuda, cpu), name).toBeLessThan(tolerance);
  }
}

afterEach(() => native.setDeterministic(false));

// The graphs that cuDNN is given; on the emulated device their operations are carried out one by one.
describe.each(dtypes)('attention as a graph of the library’s, %s', (dtype, tolerance) => {
  describe.each([false, true])('deterministic %s', (deterministic) => {
    it.each(shapes)('crossAttention and its gradients, %o', ({ batch, heads, size, queries, keys }) => {
      native.setDeterministic(deterministic);
      const [width, scale] = [heads * size, size ** -0.5];
      expectSame(dtype, tolerance, (b) => {
        const q = b.input([batch, queries, width], 1, { factor: 3 });
        const [k, v] = [b.input([batch, keys, width], 2, { factor: 3 }), b.input([batch, keys, width], 3)];
        const [out, logSum] = native.crossAttention(q, k, v, heads, scale);
        const dout = b.input([batch, queries, width], 4);
        const [dq, dk, dv] = native.crossAttentionBackward(dout, q, k, v, out, logSum, heads, scale);
        return { out, logSum, dq, dk, dv };
      });
    });

    it.each(shapes)('selfAttention in a fused projection, with a bias and without, %o', (shape) => {
      native.setDeterministic(deterministic);
      const { batch, heads, size, keys: length } = shape;
      const [width, scale] = [heads * size, size ** -0.5];
      expectSame(dtype, tolerance, (b) => {
        const qkv = b.input([batch, length, 3 * width], 1, { factor: 3 });
        const bias = b.input([heads, length, length], 2, { dtype: 'f32', factor: 2 });
        const dout = b.input([batch, length, width], 3);
        const [out, logSum] = native.selfAttention(qkv, heads, scale);
        const dqkv = native.selfAttentionBackward(dout, qkv, out, logSum, heads, scale);
        const [biasedOut, biasedSum] = native.biasedSelfAttention(qkv, bias, heads, scale);
        const [biasedDqkv, dbias] = native.biasedSelfAttentionBackward(
          ...([dout, qkv, bias, biasedOut, biasedSum, heads, scale] as const),
        );
        return { out, logSum, dqkv, biasedOut, biasedSum, biasedDqkv, dbias };
      });
    });
  });
});
