import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { AdamW } from '../../lib/optim/adamw.js';
import {
  GradientScaler,
  type GradientScalerOptions,
  type ScalerState,
} from '../../lib/optim/gradient-scaler.js';
import { Lars } from '../../lib/optim/lars.js';
import type { Optimizer } from '../../lib/optim/optimizer.js';
import { Sgd } from '../../lib/optim/sgd.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { disposeParameter } from '../tensor/numbers.js';

const made: (() => void)[] = [];
afterEach(() => {
  for (const dispose of made.splice(0)) dispose();
});

function scalerOf(options: Partial<GradientScalerOptions> = {}): GradientScaler {
  const scaler = new GradientScaler({ enabled: true, ...options });
  made.push(() => scaler.dispose());
  return scaler;
}

/** Tells the scaler of a step with a finite or another norm. @returns what the device made of it */
function step(scaler: GradientScaler, finite: boolean): ScalerState & { last: number } {
  return scope(() => {
    scaler.update(Tensor.from(Float32Array.of(finite ? 3 : Number.POSITIVE_INFINITY), [1]));
    const last = scaler.settle(scaler.report()!.dataSync());
    return { ...scaler.state(), last };
  });
}

describe('the gradient scaler', () => {
  it('starts at 65536, doubles after 2000 finite steps in a row, halves at one that is not', () => {
    const scaler = scalerOf();
    const finite = Tensor.from(Float32Array.of(1), [1]);
    for (let i = 0; i < 1998; i++) scaler.update(finite);
    finite.release();
    expect(step(scaler, true)).toEqual({ scale: 65536, goodSteps: 1999, skipped: 0, last: 65536 });
    expect(step(scaler, true)).toEqual({ scale: 131072, goodSteps: 0, skipped: 0, last: 65536 });
    expect(step(scaler, false)).toEqual({ scale: 65536, goodSteps: 0, skipped: 1, last: 131072 });
    expect(step(scaler, false)).toEqual({ scale: 32768, goodSteps: 0, skipped: 2, last: 65536 });
  });

  it('counts finite steps anew after one that is not', () => {
    const scaler = scalerOf({ initScale: 8, growthInterval: 3 });
    for (const finite of [true, true, false, true]) step(scaler, finite);
    expect(step(scaler, true).scale).toBe(4);
    expect(step(scaler, true).scale).toBe(8);
  });

  it('goes on from a saved state as if it had never stopped', () => {
    const whole = scalerOf({ growthInterval: 4 });
    let broken = scalerOf({ growthInterval: 4 });
    for (let i = 0; i < 40; i++) {
      const finite = i % 11 !== 7;
      const expected = step(whole, finite);
      expect(step(broken, finite)).toEqual(expected);
      if (i % 5 !== 2) continue;
      const state = JSON.parse(JSON.stringify(broken.state()));
      broken = scalerOf({ growthInterval: 4 });
      broken.load(state);
    }
  });

  it('gives backward its start, and takes the scale off again', () => {
    const scaler = scalerOf({ initScale: 1024 });
    scope(() => {
      expect((scaler.seed(0.25) as Tensor).item()).toBe(256);
      expect(scaler.inverse('f64')!.item()).toBe(1 / 1024);
    });
  });

  it('is 1 for good where it is off', () => {
    const scaler = new GradientScaler({ enabled: false });
    scope(() => scaler.update(Tensor.from(Float32Array.of(Number.NaN), [1])));
    expect([scaler.numbers, scaler.report(), scaler.inverse('f32')]).toEqual([null, null, null]);
    expect(scaler.seed(0.5)).toBe(0.5);
    expect(scaler.state()).toEqual({ scale: 1, goodSteps: 0, skipped: 0 });
  });

  it.each([{ initScale: 0 }, { initScale: Number.NaN }, { growthFactor: 1 }, { backoffFactor: 1 }])(
    'refuses %j',
    (options) => {
      expect(() => new GradientScaler({ enabled: true, ...options })).toThrow(RangeError);
    },
  );
});

describe('an optimizer under a loss scale', () => {
  const steps = 6;
  const rates = (i: number) => ({ lr: 0.01 / (i + 1), weightDecay: 0.1, clip: 2 });

  /** Steps of an optimizer on gradients of its own, times the scale where there is one. */
  function run(
    make: (group: { name: string; parameter: Parameter; lrScale: number; decay: boolean }[]) => Optimizer,
    gradients: readonly (number | null)[],
    scaler?: GradientScaler,
  ): { weights: number[][]; state: number[] } {
    const parameter = Parameter.empty([33]);
    parameter.assign(Float32Array.from({ length: 33 }, (_, i) => Math.sin(i)));
    const optimizer = make([{ name: 'w', parameter, lrScale: 0.5, decay: true }]);
    const weights: number[][] = [];
    gradients.forEach((gradient, i) => {
      if (gradient === null) return;
      scope(() => {
        parameter.accumulate((grad) => {
          native.write(
            grad.handle,
            Float32Array.from({ length: 33 }, (_, k) => gradient + Math.cos(k)),
          );
          const scale = scaler?.seed(1);
          if (scale instanceof Tensor)
            native.copyInto(native.scaleBy(grad.handle, scale.handle), grad.handle);
        });
        optimizer.update({ ...rates(i), scaler });
        weights.push([...parameter.dataSync()]);
      });
    });
    const state = [...optimizer.state().values()].flatMap((tensor) => [...tensor.dataSync()]);
    optimizer.dispose();
    disposeParameter(parameter);
    return { weights, state };
  }

  const kinds: [string, Parameters<typeof run>[0]][] = [
    ['AdamW', (groups) => new AdamW(groups)],
    ['SGD', (groups) => new Sgd(groups)],
    ['LARS', (groups) => new Lars(groups)],
  ];

  it.each(kinds)('%s: a scale that is a power of two changes no bit', (_name, make) => {
    const gradients = Array.from({ length: steps }, (_, i) => i - 2);
    expect(run(make, gradients, scalerOf())).toEqual(run(make, gradients));
  });

  it.each(kinds)('%s: one overflow skips exactly that step and halves the scale', (_name, make) => {
    const gradients: (number | null)[] = Array.from({ length: steps }, (_, i) => i - 2);
    const scaler = scalerOf({ initScale: 256 });
    const spoiled = run(make, gradients.with(3, Number.POSITIVE_INFINITY), scaler);
    const without = run(make, gradients.with(3, null));
    expect(spoiled.weights[3]).toEqual(spoiled.weights[2]);
    expect(spoiled.weights.toSpliced(3, 1)).toEqual(without.weights);
    expect(spoiled.state).toEqual(without.state);
    scope(() => scaler.settle(scaler.report()!.dataSync()));
    expect(scaler.state()).toEqual({ scale: 128, goodSteps: 2, skipped: 1 });
  });
});
