import { expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { accumulateBoth, Parameter } from '../../lib/tensor/parameter.js';

it('accumulateBoth refuses a weight and a bias of which only one holds a gradient', () => {
  const weight = Parameter.empty([3]);
  const bias = Parameter.empty([3]);
  weight.accumulate((grad) => native.fill(grad.handle, 1));
  expect(() => accumulateBoth(weight, bias, () => undefined)).toThrow(/used, and cleared, together/);
  weight.clearGrad();
  const flags: boolean[] = [];
  const note = (_dweight: unknown, _dbias: unknown, accumulate: boolean): void => void flags.push(accumulate);
  accumulateBoth(weight, bias, note);
  accumulateBoth(weight, bias, note);
  expect(flags).toEqual([false, true]);
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
