import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype } from '../../lib/native/bindings.js';
import { relativeError } from '../tensor/numbers.js';
import { onBoth } from './both-devices.js';

/** Batch, tokens and width: one of each, below and above a warp, tails of every vector width, registers and beyond. */
const streams: [number, number, number][] = [
  [1, 1, 1],
  [3, 11, 31],
  [2, 7, 33],
  [1, 257, 8],
  [3, 3, 257],
  [1, 5, 520],
  [2, 20, 768],
  [1, 3, 1024],
  [2, 1, 1032],
];

describe.each<[branch: Dtype, copy: Dtype, number]>([
  ['f32', 'f32', 2e-6],
  ['bf16', 'bf16', 6e-3],
  ['bf16', 'f32', 6e-3],
  ['f16', 'f16', 1e-3],
  ['f16', 'f32', 1e-3],
])(
  'residual and norm in one pass, branch in %s, copy in %s, against the CPU within %d',
  (dtype, copy, tolerance) => {
    it.each(streams)('[%i, %i, %i]', (batch, tokens, width) => {
      for (const accumulate of [false, true]) {
        const results = onBoth(dtype, (b) => {
          const shape = [batch, tokens, width];
          const kind = copy === 'f32' ? 'f32' : b.dtype;
          const of = (seed: number, as: Dtype = 'f32') => b.input(shape, seed, { dtype: as });
          const vector = (seed: number) => b.input([width], seed, { dtype: 'f32' });
          const [x, branch, dy, dstream] = [of(1), of(2, b.dtype), of(3, kind), of(4)];
          const [gamma, gain, shift] = [vector(5), vector(6), vector(7)];
          const keep = b.input([batch], 8, { dtype: 'f32' });
          const [dgamma, dgain, dshift] = [vector(9), vector(10), vector(11)];
          const again = of(12, kind);
          const [stream, y, mean, rstd] = native.residualNorm(
            x,
            branch,
            gamma,
            keep,
            gain,
            shift,
            1e-6,
            kind,
          );
          const [dx, dbranch] = native.residualNormBackward(
            ...([dy, dstream, stream, branch, gamma, keep, gain, shift, mean, rstd, b.dtype] as const),
            ...([dgamma, dgain, dshift, accumulate, again] as const),
          );
          const [plain, z, m, r] = native.residualNorm(x, branch, null, null, gain, shift, 1e-6, kind);
          const [dplain, dother] = native.residualNormBackward(
            ...([dy, null, plain, null, null, null, gain, shift, m, r, b.dtype] as const),
            ...([null, null, null, false, null] as const),
          );
          // One column: y is its shift, and the norm's gradient nothing but rounding.
          return width === 1
            ? { stream, y, again, mean, dshift, plain, z }
            : { stream, y, again, mean, rstd, dx, dbranch, dgamma, dgain, dshift, plain, z, dplain, dother };
        });
        for (const [name, { cpu, cuda }] of Object.entries(results))
          expect(relativeError(cuda, cpu), name).toBeLessThan(4 * tolerance);
      }
    });
  },
);
