import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype } from '../../lib/native/bindings.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { layerNorm } from '../../lib/tensor/ops/layer-norm.js';
import { linear } from '../../lib/tensor/ops/linear.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { add, cast } from '../../lib/tensor/ops/pointwise.js';
import { normalizedSum, type PendingSum, residualNorm, summed } from '../../lib/tensor/ops/residual-norm.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { gradientErrors } from './gradient-check.js';
import { disposeParameter, randomNumbers, randomParameter, relativeError, tensorOf } from './numbers.js';

const made: Parameter[] = [];
const eps = 1e-6;

afterEach(() => {
  for (const parameter of made.splice(0)) disposeParameter(parameter);
});

function expectGradients(of: Record<string, Parameter>, forward: () => Tensor): void {
  for (const parameter of Object.values(of)) if (!made.includes(parameter)) made.push(parameter);
  const before = native.memoryStatistics().liveTensors;
  const held = Object.values(of).filter((p) => p.grad !== null).length;
  const errors = gradientErrors(of, forward);
  for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
  expect(native.memoryStatistics().liveTensors).toBe(before + Object.values(of).length - held);
}

/** What a sum and its norm are made of, and a linear layer behind them. */
function parameters(shape: readonly number[]) {
  const width = shape.at(-1)!;
  const shapes = {
    x: shape,
    branch: shape,
    gamma: [width],
    gain: [width],
    shift: [width],
    w: [5, width],
    b: [5],
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([name, extents], i) => [name, randomParameter(extents, 500 + i)]),
  ) as Record<keyof typeof shapes, Parameter>;
}

/** Stochastic depth's factors: the second sample is dropped. */
function factors(batch: number): Tensor {
  const values = Array.from({ length: batch }, (_, b) => (b === 1 ? 0 : 1.25));
  return tensorOf(values, [batch], 'f64');
}

describe('residual and norm', () => {
  it.each([
    [[3, 7, 33], true, true],
    [[3, 7, 33], true, false],
    [[3, 7, 33], false, true],
    [[3, 7, 33], false, false],
    [[1, 1, 31], true, true],
    [[2, 5, 130], true, true],
  ])('gradients in f64 of %j, layer scale: %s, dropped samples: %s', (shape, scaled, dropped) => {
    const { gamma, ...rest } = parameters(shape);
    const { x, branch, gain, shift, w, b } = rest;
    if (!scaled) disposeParameter(gamma);
    const sum = (): PendingSum => ({
      x,
      branch,
      gamma: scaled ? gamma : null,
      keep: dropped ? factors(shape[0]!) : null,
    });
    const scale = scaled ? { gamma } : {};
    const own = { x, branch, ...scale, gain, shift };
    expectGradients({ ...own, w, b }, () => {
      const { stream, normal } = normalizedSum(sum(), gain, shift, eps, 'f64');
      // The stream is read behind the linear layer, twice: its gradient adds up before the norm's turn.
      const y = linear(normal, w, b);
      const again = linear(stream, w, b);
      return add(add(y, again), again, 1, 0.5);
    });
    expectGradients(own, () => residualNorm(sum(), gain, shift, eps, 'f64').y);
    expectGradients(own, () => {
      const { stream, y } = residualNorm(sum(), gain, shift, eps, 'f64');
      return add(stream, y, 0.5, 2);
    });
  });

  it('gradients in f64 of the stream alone', () => {
    const { gamma, gain, shift, w, b, ...rest } = parameters([3, 7, 33]);
    made.push(gain, shift, w, b);
    for (const fixed of [gain, shift, w, b]) fixed.requiresGrad = false;
    const sum = (): PendingSum => ({ ...rest, gamma, keep: factors(3) });
    expectGradients({ ...rest, gamma }, () => residualNorm(sum(), gain, shift, eps, 'f64').stream);
    expectGradients({ ...rest, gamma }, () => {
      const { stream, normal } = normalizedSum(sum(), gain, shift, eps, 'f64');
      linear(normal, w, b);
      return add(stream, stream, 0.5, 2);
    });
  });

  it('gradients in f64 with a fixed gamma and a fixed norm', () => {
    const { gamma, gain, shift, w, b, ...rest } = parameters([3, 7, 33]);
    made.push(gamma, gain, shift);
    for (const fixed of [gamma, gain, shift]) fixed.requiresGrad = false;
    expectGradients({ ...rest, w, b }, () =>
      linear(normalizedSum({ ...rest, gamma, keep: factors(3) }, gain, shift, eps, 'f64').normal, w, b),
    );
  });
});

/** Outputs and gradients of a stream in f32 with a branch in `dtype`, the norm's copy in `copy`. */
function run(fused: boolean, shape: readonly number[], dtype: Dtype, copy: Dtype): Record<string, number[]> {
  const width = shape.at(-1)!;
  const numbers = (size: number, seed: number) => Float32Array.from(randomNumbers(size, seed));
  const size = shape.reduce((a, b) => a * b, 1);
  const parameter = (seed: number): Parameter => {
    const own = Parameter.empty([width]);
    own.assign(numbers(width, seed));
    return own;
  };
  const [gamma, gain, shift] = [parameter(1), parameter(2), parameter(3)];
  const read = (tensor: Tensor): number[] => [...cast(tensor, 'f32').dataSync()];
  const results = scope(() =>
    withTape((tape) => {
      const leaf = (seed: number, as: Dtype): Tensor => {
        const tensor = cast(Tensor.from(numbers(size, seed), shape), as);
        tensor.requiresGrad = true;
        return tensor;
      };
      const [x, branch] = [leaf(4, 'f32'), leaf(5, dtype)];
      const keep = Tensor.from(
        Float32Array.from({ length: shape[0]! }, (_, b) => (b === 1 ? 0 : 1.25)),
        [shape[0]!],
      );
      const sum = { x, branch, gamma, keep };
      const unfused = (): { stream: Tensor; y: Tensor } => {
        const stream = summed(sum);
        return { stream, y: layerNorm(stream, gain, shift, eps, copy) };
      };
      const { stream, y } = fused ? residualNorm(sum, gain, shift, eps, copy) : unfused();
      const target = Tensor.from(numbers(size, 6), shape);
      const loss = mse(add(stream, cast(y, 'f32')), target);
      const made = { stream: read(stream), y: read(y) };
      const [dx, dbranch] = tape.backward(loss, 1e3, [x, branch]);
      const grads = { dx: read(dx!), dbranch: read(dbranch!) };
      dx!.release();
      dbranch!.release();
      return { ...made, ...grads };
    }),
  );
  const trained = { gamma, gain, shift };
  const named = Object.entries(trained).map(([name, { grad }]) => [`d${name}`, [...grad!.dataSync()]]);
  for (const own of [gamma, gain, shift]) disposeParameter(own);
  return { ...results, ...Object.fromEntries(named) };
}

describe('residual and norm in one pass, against one after the other', () => {
  it.each<[readonly number[], Dtype, Dtype]>([
    [[1, 1, 31], 'f32', 'f32'],
    [[3, 11, 33], 'f32', 'f32'],
    [[2, 7, 520], 'bf16', 'bf16'],
    [[2, 7, 520], 'bf16', 'f32'],
    [[3, 5, 33], 'bf16', 'bf16'],
    [[2, 3, 1032], 'bf16', 'f32'],
    [[5, 7, 768], 'f32', 'f32'],
  ])('%j, branch in %s, copy in %s', (shape, dtype, copy) => {
    const live = native.memoryStatistics(defaultDevice()).liveTensors;
    const wanted = run(false, shape, dtype, copy);
    // The sum's gradient is rounded to the branch's dtype once in either case: in f32 but for the order of sums.
    const tolerance = dtype === 'f32' ? 2e-6 : 2e-3;
    for (const [name, values] of Object.entries(run(true, shape, dtype, copy)))
      expect(relativeError(values, wanted[name]!), name).toBeLessThan(tolerance);
    expect(native.memoryStatistics(defaultDevice()).liveTensors).toBe(live);
  });

  it('refuses a stream in half precision, and dtypes that do not go together', () => {
    scope(() => {
      const of = (dtype: Dtype, shape: readonly number[]): Tensor =>
        cast(Tensor.zeros(shape, 'f32', defaultDevice()), dtype);
      const norm = of('f32', [8]).handle;
      const call = (x: Tensor, branch: Tensor, dtype: Dtype) => () =>
        native.residualNorm(x.handle, branch.handle, null, null, norm, norm, eps, dtype);
      const [half, full] = [of('bf16', [2, 3, 8]), of('f32', [2, 3, 8])];
      expect(call(half, half, 'bf16')).toThrow(/\[residual_norm\] the stream is bf16, expected f32/);
      expect(call(full, full, 'bf16')).toThrow(
        /\[residual_norm\] a normalised copy in bf16 beside a branch in f32/,
      );
      expect(call(full, of('f32', [2, 3, 4]), 'f32')).toThrow(/branch is \[2,3,4\], expected \[2,3,8\]/);
    });
  });
});
