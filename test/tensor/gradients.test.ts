import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { layerNorm } from '../../lib/tensor/ops/layer-norm.js';
import { linear } from '../../lib/tensor/ops/linear.js';
import { crossEntropy, mse } from '../../lib/tensor/ops/loss.js';
import { add, gelu, reshape } from '../../lib/tensor/ops/pointwise.js';
import { activated, normalized } from '../../lib/tensor/ops/recomputed.js';
import { residual } from '../../lib/tensor/ops/residual.js';
import {
  concatTokens,
  embedTokens,
  gatherPositions,
  qkvBias,
  repeatToken,
  sliceTokens,
} from '../../lib/tensor/ops/tokens.js';
import type { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { record } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { gradientErrors } from './gradient-check.js';
import { disposeParameter, product, randomNumbers, randomParameter, tensorOf } from './numbers.js';

const made: Parameter[] = [];

/** Random parameters of the given shapes, given back after the test. */
function parameters<K extends string>(shapes: Record<K, readonly number[]>): Record<K, Parameter> {
  const entries = Object.entries<readonly number[]>(shapes).map(([name, shape], i) => {
    const parameter = randomParameter(shape, 1000 + i);
    made.push(parameter);
    return [name, parameter] as const;
  });
  return Object.fromEntries(entries) as Record<K, Parameter>;
}

function expectGradients(of: Record<string, Parameter>, forward: () => Tensor): void {
  const before = native.memoryStatistics().liveTensors;
  const held = Object.values(of).filter((p) => p.grad !== null).length;
  const errors = gradientErrors(of, forward);
  for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
  // All that is left are the gradients themselves.
  const gradients = Object.values(of).length - held;
  expect(native.memoryStatistics().liveTensors).toBe(before + gradients);
}

afterEach(() => {
  for (const parameter of made.splice(0)) disposeParameter(parameter);
});

const ids = (rows: number[][]): Tensor =>
  Tensor.from(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

describe('gradients in f64 against finite differences', () => {
  it.each([[[31, 33]], [[1, 1]], [[3, 7, 33]], [[1, 1, 31]]])(
    'linear of x %j, with and without bias',
    (shape) => {
      const p = parameters({ x: shape, w: [5, shape.at(-1)!], b: [5] });
      expectGradients(p, () => linear(p.x, p.w, p.b));
      expectGradients({ x: p.x, w: p.w }, () => linear(p.x, p.w, null));
    },
  );

  it('linear with one weight used twice: the gradients add up', () => {
    const p = parameters({ x: [3, 7], w: [7, 7], b: [7] });
    expectGradients(p, () => linear(linear(p.x, p.w, p.b), p.w, p.b));
  });

  it('linear with a convolution weight of four axes', () => {
    const p = parameters({ x: [2, 3, 12], w: [5, 3, 2, 2], b: [5] });
    expectGradients(p, () => linear(p.x, p.w, p.b));
  });

  it.each([[[31, 33]], [[1, 1]], [[2, 3, 33]]])(
    'linear behind a GELU made again in backward, x %j',
    (shape) => {
      const p = parameters({ x: shape, w: [5, shape.at(-1)!], b: [5] });
      expectGradients(p, () => linear(activated(p.x), p.w, p.b));
    },
  );

  it.each([[[31, 33]], [[1, 4]], [[2, 3, 33]]])(
    'linear behind a norm made again in backward, x %j',
    (shape) => {
      const width = shape.at(-1)!;
      const p = parameters({ x: shape, gain: [width], shift: [width], w: [5, width], b: [5] });
      expectGradients(p, () => linear(normalized(p.x, p.gain, p.shift, 1e-6, 'f64'), p.w, p.b));
      expectGradients({ x: p.x, gain: p.gain, shift: p.shift, w: p.w }, () =>
        linear(normalized(p.x, p.gain, p.shift, 1e-6, 'f64'), p.w, null),
      );
      const positions = tensorOf(randomNumbers(product(shape), 17), shape, 'f64');
      expectGradients(p, () => linear(normalized(p.x, p.gain, p.shift, 1e-6, 'f64', positions), p.w, p.b));
      scope(() => {
        const made = linear(normalized(p.x, p.gain, p.shift, 1e-6, 'f64', positions), p.w, p.b);
        const placed = normalized(add(p.x, positions), p.gain, p.shift, 1e-6, 'f64');
        expect([...made.dataSync()]).toEqual([...linear(placed, p.w, p.b).dataSync()]);
      });
      positions.release();
    },
  );

  it.each([[[1]], [[31]], [[3, 33]]])('gelu of %j', (shape) => {
    const p = parameters({ x: shape });
    expectGradients(p, () => gelu(p.x));
  });

  it('gelu with a bias, whose gradient overwrites or adds', () => {
    const p = parameters({ x: [5, 33], bias: [33] });
    const biased = (): Tensor => {
      const y = new Tensor(native.gelu(p.x.handle, p.bias.handle));
      record([y], [p.x, p.bias], [p.x], (dy) => {
        let dx: Tensor | null = null;
        p.bias.accumulate((dbias, accumulate) => {
          dx = new Tensor(
            native.geluBackward(dy!.handle, p.x.handle, p.bias.handle, dbias.handle, accumulate, null),
          );
        });
        return [dx, null];
      });
      return y;
    };
    expectGradients(p, biased);
    expectGradients(p, () => add(biased(), biased(), 0.5, 2));
  });

  it.each([[[1, 31]], [[33, 31]], [[2, 3, 33]]])('layerNorm of %j', (shape) => {
    const p = parameters({ x: shape, w: [shape.at(-1)!], b: [shape.at(-1)!] });
    expectGradients(p, () => layerNorm(p.x, p.w, p.b, 1e-6, 'f64'));
    expectGradients(p, () =>
      add(p.x, layerNorm(layerNorm(p.x, p.w, p.b, 1e-6, 'f64'), p.w, p.b, 1e-6, 'f64')),
    );
  });

  it.each([
    [[31, 33], false],
    [[1, 2], false],
    [[7, 130], true],
  ])('crossEntropy of %j, in place: %s', (shape, inPlace) => {
    const [rows, classes] = shape as [number, number];
    const p = parameters({ x: shape });
    const labels = Tensor.from(
      Int32Array.from({ length: rows }, (_, i) => (i * 17) % classes),
      [rows],
    );
    expectGradients(p, () => crossEntropy(inPlace ? add(p.x, p.x, 3, 1) : p.x, labels, inPlace).loss);
    labels.release();
  });

  it('mse, its gradient in x alone', () => {
    const p = parameters({ x: [3, 31] });
    expectGradients(p, () => mse(p.x, tensorOf(randomNumbers(93, 4), [3, 31], 'f64')));
  });

  it('add with factors, of a tensor to itself, and through both sides', () => {
    const p = parameters({ a: [3, 11], b: [3, 11] });
    expectGradients(p, () => add(p.a, p.b, 0.3, -2));
    expectGradients(p, () => {
      const g = gelu(p.a);
      return add(add(g, g), add(g, p.b));
    });
  });

  it('reshape', () => {
    const p = parameters({ x: [3, 4, 5] });
    expectGradients(p, () => gelu(reshape(gelu(p.x), [5, 12])));
  });

  it('reshape of a gradient that two tensors share: neither writes into the other', () => {
    const p = parameters({ x: [4, 3], b: [2, 6] });
    expectGradients(p, () => {
      const other = gelu(p.b);
      const x = gelu(p.x);
      const second = gelu(x);
      const sum = add(reshape(x, [2, 6]), other);
      return add(sum, reshape(second, [2, 6]));
    });
  });
});

describe('gradients of residual and token ops in f64', () => {
  const keep = (): Tensor => tensorOf([0, 1.25, 2], [3], 'f64');

  it.each([
    ['gamma and keep', true, true],
    ['gamma', true, false],
    ['keep', false, true],
    ['neither', false, false],
  ])('residual with %s', (_, scaled, dropped) => {
    const p = parameters({ x: [3, 5, 31], branch: [3, 5, 31], gamma: [31] });
    const of: Record<string, Parameter> = scaled ? p : { x: p.x, branch: p.branch };
    const factors = (): Tensor | null => (dropped ? keep() : null);
    expectGradients(of, () => residual(p.x, p.branch, scaled ? p.gamma : null, factors()));
    expectGradients(of, () =>
      residual(
        residual(p.x, p.branch, scaled ? p.gamma : null, factors()),
        gelu(p.branch),
        scaled ? p.gamma : null,
      ),
    );
  });

  it('residual with a fixed gamma', () => {
    const p = parameters({ x: [3, 5, 7], branch: [3, 5, 7], gamma: [7] });
    p.gamma.requiresGrad = false;
    expectGradients({ x: p.x, branch: p.branch }, () => residual(p.x, p.branch, p.gamma, keep()));
    expect(p.gamma.hasGrad).toBe(false);
  });

  it('embedTokens, its first token also used elsewhere', () => {
    const p = parameters({ x: [2, 3, 33], first: [1, 1, 33] });
    const embed = (): Tensor =>
      embedTokens(
        p.x,
        p.first,
        tensorOf(randomNumbers(9 * 33, 5), [1, 9, 33], 'f64'),
        ids([
          [7, 0, 3],
          [1, 1, 6],
        ]),
      );
    expectGradients(p, embed);
    expectGradients(p, () => add(embed(), repeatToken(p.first, 2, 4, 'f64')));
  });

  it.each([
    [1, 1],
    [3, 7],
  ])('repeatToken %i × %i', (batch, count) => {
    const p = parameters({ token: [1, 1, 31] });
    expectGradients(p, () => repeatToken(p.token, batch, count, 'f64'));
  });

  it('concatTokens and sliceTokens', () => {
    const p = parameters({ a: [3, 1, 31], b: [3, 5, 31] });
    expectGradients(p, () => concatTokens(p.a, p.b));
    expectGradients({ b: p.b }, () => sliceTokens(p.b, 1, 3));
    expectGradients(p, () => {
      const all = concatTokens(p.a, gelu(p.b));
      return add(sliceTokens(all, 0, 2), sliceTokens(all, 4, 2));
    });
  });

  it('qkvBias as the bias of a projection', () => {
    const p = parameters({ q: [5], v: [5], w: [15, 4], x: [3, 2, 4] });
    expectGradients(p, () => linear(p.x, p.w, qkvBias(p.q, p.v)));
  });

  it('gatherPositions reads rows 1 + ids', () => {
    const table = Float64Array.from({ length: product([1, 5, 2]) }, (_, i) => i);
    const rows = scope(() => [...gatherPositions(Tensor.from(table, [1, 5, 2]), ids([[3, 0]])).dataSync()]);
    expect(rows).toEqual([8, 9, 2, 3]);
  });
});
