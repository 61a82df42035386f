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
