import { expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { conv2d, prepareConvWeight } from '../../lib/tensor/ops/conv.js';
import { layerNorm } from '../../lib/tensor/ops/layer-norm.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { cast } from '../../lib/tensor/ops/pointwise.js';
import { accumulateBoth, Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { disposeParameter, randomParameter, relativeError } from './numbers.js';

it('accumulateBoth overwrites first, then adds', () => {
  const weight = Parameter.empty([3]);
  const bias = Parameter.empty([3]);
  const flags: boolean[] = [];
  const note = (_dweight: unknown, _dbias: unknown, accumulate: boolean): void => void flags.push(accumulate);
  accumulateBoth(weight, bias, note);
  accumulateBoth(weight, bias, note);
  expect(flags).toEqual([false, true]);
  for (const parameter of [weight, bias]) disposeParameter(parameter);
});

it('a weight or a bias that alone holds a gradient keeps it, the other starts anew', () => {
  const [x, weight, bias] = [randomParameter([5, 4], 1), randomParameter([4], 2), randomParameter([4], 3)];
  x.requiresGrad = false;
  const pass = (): void =>
    withTape((tape) =>
      scope(() => {
        const y = layerNorm(x, weight, bias, 1e-6, 'f64');
        tape.backward(mse(y, Tensor.zeros([5, 4], 'f64')));
      }),
    );
  const gradient = (parameter: Parameter): number[] => [...parameter.grad!.dataSync()];
  pass();
  const once = new Map([weight, bias].map((parameter) => [parameter, gradient(parameter)]));
  for (const [kept, cleared] of [
    [weight, bias],
    [bias, weight],
  ] as const) {
    for (const parameter of [weight, bias]) parameter.clearGrad();
    pass();
    cleared.clearGrad();
    pass();
    expect(relativeError(gradient(cleared), once.get(cleared)!)).toBeLessThan(1e-14);
    const twice = once.get(kept)!.map((value) => 2 * value);
    expect(relativeError(gradient(kept), twice)).toBeLessThan(1e-14);
  }
  for (const parameter of [x, weight, bias]) disposeParameter(parameter);
});

it('keepOnly gives the full precision of a frozen weight back, and refuses one that is trained', () => {
  const before = native.memoryStatistics().liveTensors;
  const weight = Parameter.empty([3]);
  weight.assign(Float32Array.of(1, 2, 3));
  expect(() => weight.keepOnly('bf16')).toThrow(/trained/);
  weight.requiresGrad = false;
  weight.keepOnly('f32');
  expect(Array.from(weight.dataSync())).toEqual([1, 2, 3]);
  weight.keepOnly('bf16');
  expect(native.memoryStatistics().liveTensors).toBe(before + 1);
  expect(Array.from(weight.as('bf16').dataSync())).toEqual([0x3f80, 0x4000, 0x4040]);
  expect(() => weight.dataSync()).toThrow();
  weight.dispose();
  expect(native.memoryStatistics().liveTensors).toBe(before);
});

it('keepPrepared leaves a frozen convolution weight in its device’s order alone, and the convolution as it was', () => {
  const before = native.memoryStatistics().liveTensors;
  scope(() => {
    const pixels = Float32Array.from({ length: 2 * 5 * 5 * 3 }, (_, i) => Math.sin(i));
    const x = Tensor.from(pixels, [2, 5, 5, 3]);
    for (const dtype of ['f32', 'bf16'] as const) {
      const [weight, shift] = [Parameter.empty([4, 3, 3, 3]), Parameter.empty([4])];
      weight.assign(Float32Array.from({ length: weight.size }, (_, i) => Math.cos(i)));
      shift.assign(Float32Array.of(1, -1, 2, 0));
      expect(() => weight.keepPrepared(dtype, prepareConvWeight)).toThrow(/trained/);
      for (const parameter of [weight, shift]) parameter.requiresGrad = false;
      const run = () =>
        Array.from(conv2d(cast(x, dtype), weight, shift, { padding: 1, relu: true }).dataSync());
      const plain = run();
      weight.keepPrepared(dtype, prepareConvWeight);
      expect(run()).toEqual(plain);
      expect(() => weight.dataSync()).toThrow();
      for (const parameter of [weight, shift]) parameter.dispose();
    }
  });
  expect(native.memoryStatistics().liveTensors).toBe(before);
});
