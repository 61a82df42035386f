import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { add, gelu } from '../../lib/tensor/ops/pointwise.js';
import { scope } from '../../lib/tensor/scope.js';
import { noGrad, withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { disposeParameter, randomParameter } from './numbers.js';

const live = (): number => native.memoryStatistics().liveTensors;

describe('the tape', () => {
  it('is walked back once, within its body', () => {
    const w = randomParameter([3, 4], 1);
    const before = live();
    const loss = (): Tensor => mse(gelu(w), Tensor.zeros([3, 4], 'f64'));
    const ended = withTape((tape) =>
      scope(() => {
        const [a, b] = [loss(), loss()];
        tape.backward(add(a, b));
        for (const again of [a, b])
          expect(() => tape.backward(again)).toThrow(
            /^tape: backward has run already; add the losses, or use one tape each$/,
          );
        return tape;
      }),
    );
    scope(() => expect(() => ended.backward(loss())).toThrow(/^tape: it has ended/));
    expect(live()).toBe(before + 1);
    disposeParameter(w);
  });

  it('refuses a seed of another size, and goes on', () => {
    const w = randomParameter([3, 4], 1);
    const before = live();
    withTape((tape) =>
      scope(() => {
        const loss = mse(gelu(w), Tensor.zeros([3, 4], 'f64'));
        expect(() => tape.backward(loss, Tensor.zeros([7], 'f64'))).toThrow(
          /^tape: the seed \[7\] must have the size of the loss \[\]$/,
        );
        expect(w.hasGrad).toBe(false);
        tape.backward(loss, Tensor.from(Float64Array.of(1), [1]));
      }),
    );
    expect(w.hasGrad).toBe(true);
    expect(live()).toBe(before + 1);
    disposeParameter(w);
  });

  it('and noGrad refuse a promise, whose own failure is no second error', async () => {
    const failing = async (): Promise<void> => {
      await Promise.resolve();
      throw new RangeError('nobody waits for this');
    };
    expect(() => withTape(failing)).toThrow(/^withTape: its body returned a promise/);
    expect(() => noGrad(failing)).toThrow(/^noGrad: its body returned a promise/);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const x = randomParameter([2], 1);
    // Neither is in force any more.
    withTape(() => scope(() => expect(gelu(x).requiresGrad).toBe(true)));
    scope(() => expect(gelu(x).requiresGrad).toBe(false));
    disposeParameter(x);
  });
});
