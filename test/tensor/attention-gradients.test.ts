import { describe, expect, it } from 'vitest';
import { crossAttention, selfAttention } from '../../lib/tensor/ops/attention.js';
import { gradientErrors } from './gradient-check.js';
import { disposeParameter, randomParameter } from './numbers.js';

describe('attention gradients in f64 against finite differences', () => {
  const lengths = [1, 7, 33, 130];
  const shapes = [5, 12, 16].flatMap((size) => lengths.map((length) => [size, length] as const));

  it.each(shapes)('selfAttention with heads of %i over %i tokens', (size, length) => {
    const batch = length > 100 ? 1 : 2;
    const qkv = randomParameter([batch, length, 3 * 2 * size], 31);
    const { error } = gradientErrors({ error: qkv }, () => selfAttention(qkv, 2, size ** -0.5));
    disposeParameter(qkv);
    expect(error).toBeLessThan(1e-6);
  });

  it.each([
    [5, 1, 7],
    [12, 7, 1],
    [16, 33, 130],
    [5, 130, 33],
  ])('crossAttention with heads of %i, %i queries, %i keys', (size, queries, keys) => {
    const q = randomParameter([2, queries, 2 * size], 41);
    const k = randomParameter([2, keys, 2 * size], 42);
    const v = randomParameter([2, keys, 2 * size], 43);
    // A single key has all the weight: its gradient, and the query's, is zero.
    const of: Record<string, typeof q> = keys === 1 ? { v } : { q, k, v };
    const errors = gradientErrors(of, () => crossAttention(q, k, v, 2, size ** -0.5));
    for (const parameter of [q, k, v]) disposeParameter(parameter);
    for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
  });

  it('one tensor as query, key and value', () => {
    const x = randomParameter([2, 5, 12], 51);
    const { error } = gradientErrors({ error: x }, () => crossAttention(x, x, x, 3, 0.7));
    disposeParameter(x);
    expect(error).toBeLessThan(1e-6);
  });
});
