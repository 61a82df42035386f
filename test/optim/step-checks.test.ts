import { afterEach, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { AdamW } from '../../lib/optim/adamw.js';
import { Lars } from '../../lib/optim/lars.js';
import type { Optimizer, OptimizerStep } from '../../lib/optim/optimizer.js';
import type { ParameterGroup } from '../../lib/optim/parameter-groups.js';
import { Sgd } from '../../lib/optim/sgd.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';

const parameter = Parameter.empty([2]);
const groups: ParameterGroup[] = [{ name: 'w', parameter, lrScale: 1, decay: true }];
const optimizers: [string, Optimizer][] = [
  ['AdamW', new AdamW(groups)],
  ['Sgd', new Sgd(groups)],
  ['Lars', new Lars(groups)],
];
afterEach(() => parameter.clearGrad());

it.each(optimizers)(
  '%s refuses numbers that would spoil every weight, and changes nothing',
  (_, optimizer) => {
    parameter.assign(Float32Array.of(1, 2));
    parameter.accumulate((grad) => native.fill(grad.handle, 1));
    const rates = { lr: 0.1, weightDecay: 0.1 };
    for (const [step, message] of [
      [{ lr: 0.1 }, /optimizer: weightDecay undefined must be a finite number/],
      [{ ...rates, lr: Number.NaN }, /optimizer: lr NaN/],
      [{ ...rates, clip: Number.NaN }, /optimizer: clip NaN must be at least 0/],
      [{ ...rates, clip: -1 }, /optimizer: clip -1 must be at least 0/],
      [{ ...rates, gradientScale: Number.POSITIVE_INFINITY }, /optimizer: gradientScale Infinity/],
    ] as const) {
      expect(() => optimizer.update(step as OptimizerStep)).toThrow(RangeError);
      expect(() => optimizer.update(step as OptimizerStep)).toThrow(message);
    }
    expect([...parameter.dataSync()]).toEqual([1, 2]);
    expect(optimizer.step).toBe(0);
    scope(() => void optimizer.update({ ...rates, clip: 0 }));
    expect(optimizer.step).toBe(1);
    expect([...parameter.dataSync()]).not.toEqual([1, 2]);
  },
);
