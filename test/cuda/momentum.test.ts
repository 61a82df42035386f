import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype, Handle } from '../../lib/native/bindings.js';
import { relativeError } from '../tensor/numbers.js';
import { type Bench, onBoth } from './both-devices.js';

/** Sizes with tails, pieces of more than one block, and more tensors than one launch takes. */
const sizes = [1, 31, 33, 257, 16384, 16385, 40_001, ...Array.from({ length: 140 }, (_, i) => 3 + (i % 7))];
/** Tensors whose results are looked at. */
const seen = [0, 1, 2, 3, 4, 5, 6, 7, 60, sizes.length - 1];

interface Run {
  kind: 'sgd' | 'nesterov' | 'lars';
  copyDtype: Dtype | null;
  clip: number;
  spoil?: boolean;
}

function step(b: Bench, { kind, copyDtype, clip, spoil = false }: Run): Record<string, Handle> {
  const tensors = (seed: number, factor: number): Handle[] =>
    sizes.map((n, i) => b.input([n], seed + 10 * i, { dtype: 'f32', factor }));
  const [parameters, gradients, buffers] = [tensors(1, 1), tensors(2, 4), tensors(3, 0.1)];
  if (spoil) native.fill(gradients[3]!, Number.NaN);
  // A tensor of zeros has no trust ratio.
  native.fill(parameters[2]!, 0);
  const copies = copyDtype === null ? [] : sizes.map((n) => b.room([n], copyDtype));
  for (const copy of copies) native.fill(copy, 0);
  const norm = native.globalNorm(gradients);
  const scales = sizes.map((_, i) => 1 + (i % 3));
  const decayed = sizes.map((_, i) => i % 2 === 1);
  const lists = [parameters, gradients, buffers, copies, scales, decayed] as const;
  const rates = b.room([2], 'f64');
  native.write(rates, Float64Array.of(1e-2, 0.05));
  if (kind === 'lars') {
    const scaled = sizes.map((_, i) => i % 4 !== 1);
    native.lars(...lists, scaled, rates, norm, 0.9, 0.02, clip, 0.5);
  } else {
    native.sgd(...lists, rates, norm, 0.9, kind === 'nesterov', clip, 0.5);
  }
  return Object.fromEntries(
    Object.entries({ p: parameters, m: buffers, copy: copies }).flatMap(([name, list]) =>
      list.length === 0 ? [] : seen.map((i) => [`${name}.${i}`, list[i]!]),
    ),
  );
}

describe('SGD, LARS and moving averages over many tensors on CUDA against the CPU', () => {
  const runs: Run[] = (['sgd', 'nesterov', 'lars'] as const).flatMap((kind) => [
    { kind, copyDtype: null, clip: 0 },
    { kind, copyDtype: 'bf16', clip: 3 },
    { kind, copyDtype: 'f16', clip: 3 },
  ]);
  it.each(runs)('%o', (run) => {
    for (const [name, { cpu, cuda }] of Object.entries(onBoth('f32', (b) => step(b, run)))) {
      // A copy may fall on the other side of a rounding.
      expect(relativeError(cuda, cpu), name).toBeLessThan(name.startsWith('copy') ? 1e-3 : 2e-6);
    }
  });

  it.each(['sgd', 'lars'] as const)(
    '%s leaves everything as it was where a gradient is not finite',
    (kind) => {
      const results = onBoth('f32', (b) => {
        const before = b.input([sizes[3]!], 1 + 30, { dtype: 'f32' });
        return { before, ...step(b, { kind, copyDtype: 'bf16', clip: 3, spoil: true }) };
      });
      expect(Array.from(results['p.3']!.cuda)).toEqual(Array.from(results['before']!.cuda));
      for (const [name, { cpu, cuda }] of Object.entries(results))
        expect(Array.from(cuda), name).toEqual(Array.from(cpu));
    },
  );

  it('movingAverage', () => {
    const results = onBoth('f32', (b) => {
      const [averages, values] = [1, 2].map((seed) => sizes.map((n, i) => b.input([n], seed + 10 * i)));
      native.movingAverage(averages!, values!, 0.9);
      return Object.fromEntries(seen.map((i) => [String(i), averages![i]!]));
    });
    for (const [name, { cpu, cuda }] of Object.entries(results))
      expect(relativeError(cuda, cpu), name).toBeLessThan(2e-7);
  });
});
