import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype, Handle } from '../../lib/native/bindings.js';
import { relativeError } from '../tensor/numbers.js';
import { type Bench, onBoth } from './both-devices.js';

/** Sizes with tails, pieces of more than one block, and more tensors than one launch takes. */
const sizes = [1, 31, 33, 257, 16384, 16385, 40_001, ...Array.from({ length: 140 }, (_, i) => 3 + (i % 7))];

function step(b: Bench, copyDtype: Dtype | null, clip: number, spoil: boolean): Record<string, Handle> {
  const tensors = (seed: number, factor: number): Handle[] =>
    sizes.map((n, i) => b.input([n], seed + 10 * i, { dtype: 'f32', factor }));
  const [parameters, gradients, first] = [tensors(1, 1), tensors(2, 4), tensors(3, 0.1)];
  // Second moments are above 0, as after a step: m/√v stays within what f16 holds.
  const second = tensors(4, 0.1).map((v, i) => {
    const least = b.room([sizes[i]!]);
    native.fill(least, 0.01);
    return native.add(native.relu(v), least, 1, 1);
  });
  if (spoil) native.fill(gradients[3]!, Number.NaN);
  const copies = copyDtype === null ? [] : sizes.map((n) => b.room([n], copyDtype));
  for (const copy of copies) native.fill(copy, 0);
  const norm = native.globalNorm(gradients);
  const [rates, updates] = [b.room([2], 'f64'), b.room([1], 'f64')];
  native.write(rates, Float64Array.of(1e-3, 0.05));
  native.write(updates, Float64Array.of(2));
  const factors = native.adamwFactors(norm, updates, null, 0.9, 0.999, clip, 0.5);
  native.adamw(
    parameters,
    gradients,
    first,
    second,
    copies,
    sizes.map((_, i) => 1 + (i % 3)),
    sizes.map((_, i) => i % 2 === 1),
    rates,
    factors,
    0.9,
    0.999,
    1e-8,
  );
  const named = (name: string, list: Handle[]): [string, Handle][] =>
    list.slice(0, 9).map((h, i) => [`${name}.${i}`, h]);
  const last = sizes.length - 1;
  return {
    ...(spoil ? {} : { norm }),
    ...Object.fromEntries([
      ...named('p', parameters),
      ...named('m', first),
      ...named('v', second),
      ...named('copy', copies),
    ]),
    pLast: parameters[last]!,
    mLast: first[last]!,
  };
}

describe('AdamW over many tensors on CUDA against the CPU', () => {
  it.each([
    ['without copies', null, 0],
    ['with bf16 copies and clipping', 'bf16', 3],
    ['with f16 copies and clipping', 'f16', 3],
  ] as [string, Dtype | null, number][])('%s', (_name, copy, clip) => {
    for (const [name, { cpu, cuda }] of Object.entries(onBoth('f32', (b) => step(b, copy, clip, false)))) {
      // A copy may fall on the other side of a rounding.
      expect(relativeError(cuda, cpu), name).toBeLessThan(name.startsWith('copy') ? 1e-3 : 2e-6);
    }
  });

  it('leaves everything as it was where a gradient is not finite', () => {
    const results = onBoth('f32', (b) => {
      const before = b.input([sizes[2]!], 1 + 20, { dtype: 'f32' });
      return { before, ...step(b, 'bf16', 3, true) };
    });
    expect([...Array.from(results['p.2']!.cuda)]).toEqual([...Array.from(results['before']!.cuda)]);
    for (const [name, { cpu, cuda }] of Object.entries(results))
      expect(Array.from(cuda), name).toEqual(Array.from(cpu));
  });
});
