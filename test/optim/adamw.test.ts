import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { AdamW, type AdamwStep } from '../../lib/optim/adamw.js';
import { type ParameterGroup, parameterGroups } from '../../lib/optim/parameter-groups.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import {
  disposeParameter,
  numbersOf,
  randomNumbers,
  relativeError,
  roundToBf16,
  tensorOf,
} from '../tensor/numbers.js';

type Dtype = 'f32' | 'f64';

/** PyTorch's AdamW, one tensor, in float64 (its documentation's algorithm; clipping as clip_grad_norm_). */
class PlainAdamW {
  #m: Float64Array;
  #v: Float64Array;
  #t = 0;
  constructor(
    public p: Float64Array,
    private readonly betas: [number, number],
    private readonly eps: number,
  ) {
    this.#m = new Float64Array(p.length);
    this.#v = new Float64Array(p.length);
  }
  update(gradient: Float64Array, lr: number, decay: number): void {
    const [b1, b2] = this.betas;
    this.#t += 1;
    this.p = this.p.map((p, i) => {
      const g = gradient[i]!;
      this.#m[i] = b1 * this.#m[i]! + (1 - b1) * g;
      this.#v[i] = b2 * this.#v[i]! + (1 - b2) * g * g;
      const mHat = this.#m[i]! / (1 - b1 ** this.#t);
      const vHat = this.#v[i]! / (1 - b2 ** this.#t);
      return p - lr * decay * p - (lr * mHat) / (Math.sqrt(vHat) + this.eps);
    });
  }
}

const made: { parameters: Parameter[]; optimizers: AdamW[] } = { parameters: [], optimizers: [] };

function group(name: string, shape: number[], seed: number, dtype: Dtype): ParameterGroup {
  const parameter = Parameter.empty(shape, dtype);
  const count = shape.reduce((a, b) => a * b, 1);
  parameter.assign(Float32Array.from(randomNumbers(count, seed)));
  made.parameters.push(parameter);
  return { name, parameter, lrScale: 1, decay: true };
}

function optimizer(groups: ParameterGroup[], options = {}): AdamW {
  const adamw = new AdamW(groups, options);
  made.optimizers.push(adamw);
  return adamw;
}

function setGradient(parameter: Parameter, values: Float64Array): void {
  const source = tensorOf(values, parameter.shape, parameter.dtype === 'f64' ? 'f64' : 'f32');
  parameter.accumulate((grad) => native.copyInto(source.handle, grad.handle));
  source.release();
}

/** One update, and the norm it reports. */
function update(adamw: AdamW, step: AdamwStep): number {
  const norm = adamw.update(step);
  const value = norm.item();
  norm.release();
  return value;
}

const float32 = (values: Float64Array): Float64Array => Float64Array.from(Float32Array.from(values));

afterEach(() => {
  for (const adamw of made.optimizers.splice(0)) adamw.dispose();
  for (const parameter of made.parameters.splice(0)) disposeParameter(parameter);
});

describe('AdamW', () => {
  it.each([
    ['f64', 0, 1],
    ['f64', 0.7, 1],
    ['f64', 1e6, 0.25],
    ['f32', 0, 1],
    ['f32', 0.7, 0.25],
  ] as [Dtype, number, number][])(
    'in %s, clip %d, gradients times %d: PyTorch over 3 steps',
    (dtype, clip, gradientScale) => {
      const tolerance = dtype === 'f64' ? 1e-12 : 1e-5;
      // 40,000 elements: more than one of the pieces that threads share.
      const decayed = { ...group('w', [200, 200], 1, dtype), lrScale: 0.5 };
      const plainGroup = { ...group('b', [33], 2, dtype), decay: false };
      const groups = [decayed, plainGroup];
      const betas: [number, number] = [0.9, 0.98];
      const adamw = optimizer(groups, { betas, eps: 1e-7 });
      const plain = groups.map(
        ({ parameter }) => new PlainAdamW(Float64Array.from(parameter.dataSync()), betas, 1e-7),
      );
      for (let step = 0; step < 3; step++) {
        const gradients = groups.map(({ parameter }, i) =>
          float32(randomNumbers(parameter.size, 10 * step + i)),
        );
        for (const [i, { parameter }] of groups.entries()) setGradient(parameter, gradients[i]!);
        const [lr, weightDecay] = [1e-2 / (step + 1), 0.05];
        const norm = update(adamw, { lr, weightDecay, clip, gradientScale });
        const total = Math.sqrt(gradients.flatMap((g) => [...g]).reduce((sum, g) => sum + g * g, 0));
        expect(Math.abs(norm / total - 1)).toBeLessThan(tolerance);
        const scaled = total * gradientScale;
        const factor = gradientScale * (clip > 0 ? Math.min(1, clip / (scaled + 1e-6)) : 1);
        plain[0]!.update(
          gradients[0]!.map((g) => g * factor),
          0.5 * lr,
          weightDecay,
        );
        plain[1]!.update(
          gradients[1]!.map((g) => g * factor),
          lr,
          0,
        );
        groups.forEach(({ parameter, name }, i) => {
          expect(relativeError(numbersOf(parameter), plain[i]!.p), name).toBeLessThan(tolerance);
          expect(parameter.hasGrad).toBe(false);
        });
      }
      expect(adamw.step).toBe(3);
    },
  );

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('changes nothing for a gradient of %d', (bad) => {
    const groups = [group('w', [7, 31], 1, 'f32'), group('b', [31], 2, 'f32')];
    const adamw = optimizer(groups);
    for (const { parameter } of groups) setGradient(parameter, randomNumbers(parameter.size, 3));
    groups[0]!.parameter.as('bf16');
    update(adamw, { lr: 0.1, weightDecay: 0.1 });
    const snapshot = (): number[][] => [
      ...groups.map(({ parameter }) => [...parameter.dataSync()]),
      [...groups[0]!.parameter.copy!.dataSync()],
      ...[...adamw.state().values()].map((tensor) => [...tensor.dataSync()]),
    ];
    const before = snapshot();
    const gradient = randomNumbers(31, 4);
    gradient[17] = bad;
    setGradient(groups[0]!.parameter, randomNumbers(7 * 31, 5));
    setGradient(groups[1]!.parameter, gradient);
    const norm = update(adamw, { lr: 0.1, weightDecay: 0.1, clip: 1 });
    expect(Number.isFinite(norm)).toBe(false);
    expect(snapshot()).toEqual(before);
  });

  it('rewrites bf16 copies as the rounded weights', () => {
    const groups = [group('w', [33, 31], 1, 'f32'), group('alone', [5], 2, 'f32')];
    const weight = groups[0]!.parameter;
    const copy = weight.as('bf16');
    const adamw = optimizer(groups);
    for (const { parameter } of groups) setGradient(parameter, randomNumbers(parameter.size, 3));
    const before = numbersOf(copy);
    update(adamw, { lr: 0.1, weightDecay: 0.1 });
    expect(weight.as('bf16')).toBe(copy);
    expect(numbersOf(copy)).toEqual(roundToBf16(weight.dataSync()));
    expect(numbersOf(copy)).not.toEqual(before);
    expect([...numbersOf(groups[1]!.parameter)].every(Number.isFinite)).toBe(true);
  });

  it('leaves parameters without a gradient alone, and refuses when there is none at all', () => {
    const groups = [group('w', [3], 1, 'f32'), group('idle', [3], 2, 'f32')];
    const adamw = optimizer(groups);
    expect(() => adamw.update({ lr: 1, weightDecay: 1 })).toThrow(/adamw: no parameter has a gradient/);
    const idle = [...groups[1]!.parameter.dataSync()];
    setGradient(groups[0]!.parameter, randomNumbers(3, 3));
    update(adamw, { lr: 1, weightDecay: 1 });
    expect([...groups[1]!.parameter.dataSync()]).toEqual(idle);
    expect(adamw.step).toBe(1);
  });

  it('goes on from saved moments bit for bit', () => {
    const [one, two] = [group('w', [9, 5], 1, 'f32'), group('w', [9, 5], 1, 'f32')];
    const [straight, first] = [optimizer([one]), optimizer([two])];
    const run = (adamw: AdamW, of: ParameterGroup, step: number): void => {
      setGradient(of.parameter, randomNumbers(45, step));
      update(adamw, { lr: 0.01, weightDecay: 0.1 });
    };
    for (const step of [1, 2, 3]) run(straight, one, step);
    for (const step of [1, 2]) run(first, two, step);
    const saved = new Map([...first.state()].map(([name, tensor]) => [name, tensor.dataSync()]));
    expect([...saved.keys()]).toEqual(['exp_avg.w', 'exp_avg_sq.w']);
    const resumed = optimizer([two]);
    resumed.load((name) => saved.get(name)!, first.step);
    run(resumed, two, 3);
    expect([...two.parameter.dataSync()]).toEqual([...one.parameter.dataSync()]);
  });
});

describe('parameter groups', () => {
  it('decay tensors of two axes or more, but no bias, nothing skipped, nothing fixed', () => {
    const shapes: Record<string, number[]> = {
      cls_token: [1, 1, 4],
      'fc.weight': [4, 4],
      'fc.bias': [4],
      'odd.bias': [2, 2],
      gamma_1: [4],
      table: [3, 4],
      fixed: [2, 2],
    };
    const named = new Map(
      Object.entries(shapes).map(([name, shape]) => [name, group(name, shape, 1, 'f32').parameter] as const),
    );
    named.get('fixed')!.requiresGrad = false;
    const decays = Object.fromEntries(
      parameterGroups(named, new Set(['table'])).map(({ name, decay }) => [name, decay]),
    );
    expect(decays).toEqual({
      cls_token: true,
      'fc.weight': true,
      'fc.bias': false,
      'odd.bias': false,
      gamma_1: false,
      table: false,
    });
  });
});
