import { expect, it } from 'vitest';
import { layerNorm } from '../../lib/tensor/ops/layer-norm.js';
import { mse } from '../../lib/tensor/ops/loss.js';
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
