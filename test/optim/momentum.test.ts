import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { Lars } from '../../lib/optim/lars.js';
import type { Optimizer } from '../../lib/optim/optimizer.js';
import type { ParameterGroup } from '../../lib/optim/parameter-groups.js';
import { Sgd } from '../../lib/optim/sgd.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import {
  disposeParameter,
  numbersOf,
  product,
  randomNumbers,
  relativeError,
  roundToBf16,
  tensorOf,
} from '../tensor/numbers.js';

type Dtype = 'f32' | 'f64';
const made: { parameters: Parameter[]; optimizers: Optimizer[] } = { parameters: [], optimizers: [] };

function group(name: string, shape: number[], seed: number, dtype: Dtype = 'f32'): ParameterGroup {
  const parameter = Parameter.empty(shape, dtype);
  parameter.assign(Float32Array.from(randomNumbers(product(shape), seed)));
  made.parameters.push(parameter);
  return { name, parameter, lrScale: 1, decay: true };
}

function kept<T extends Optimizer>(optimizer: T): T {
  made.optimizers.push(optimizer);
  return optimizer;
}

function setGradient(parameter: Parameter, values: ArrayLike<number>): void {
  const source = tensorOf(values, parameter.shape, parameter.dtype === 'f64' ? 'f64' : 'f32');
  parameter.accumulate((grad) => native.copyInto(source.handle, grad.handle));
  source.release();
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));

afterEach(() => {
  for (const optimizer of made.optimizers.splice(0)) optimizer.dispose();
  for (const parameter of made.parameters.splice(0)) disposeParameter(parameter);
});

interface Case {
  kind: 'sgd' | 'nesterov' | 'lars';
  dtype: Dtype;
  clip: number;
  gradientScale: number;
}

/** One step of each by its paper, on one tensor in float64; returns [weights, momentum]. */
function plainStep(
  kind: Case['kind'],
  p: Float64Array,
  m: Float64Array,
  g: Float64Array,
  { lr, decay, matrix }: { lr: number; decay: number; matrix: boolean },
): [Float64Array, Float64Array] {
  const lars = kind === 'lars';
  let d = lars && !matrix ? g : g.map((v, i) => v + decay * p[i]!);
  if (lars && matrix) {
    const ratio = (0.002 * norm(p)) / norm(d);
    d = d.map((v) => v * ratio);
  }
  const buffer = m.map((v, i) => 0.8 * v + d[i]!);
  const move = kind === 'nesterov' ? buffer.map((v, i) => d[i]! + 0.8 * v) : buffer;
  return [p.map((v, i) => v - lr * move[i]!), buffer];
}

describe('SGD and LARS', () => {
  const cases: Case[] = (['sgd', 'nesterov', 'lars'] as const).flatMap((kind) => [
    { kind, dtype: 'f64', clip: 0, gradientScale: 1 },
    { kind, dtype: 'f64', clip: 0.7, gradientScale: 0.25 },
    { kind, dtype: 'f32', clip: 0.7, gradientScale: 1 },
  ]);

  it.each(cases)(
    '$kind in $dtype, clip $clip, gradients times $gradientScale: the formula over 3 steps',
    (of) => {
      const { kind, dtype, clip, gradientScale } = of;
      // 40,000 elements: more than one of the pieces that threads share.
      const groups = [
        { ...group('w', [200, 200], 1, dtype), lrScale: 0.5 },
        { ...group('b', [33], 2, dtype), decay: false },
        group('v', [7], 3, dtype),
      ];
      const optimizer = kept(
        kind === 'lars'
          ? new Lars(groups, { momentum: 0.8, trust: 0.002 })
          : new Sgd(groups, { momentum: 0.8, nesterov: kind === 'nesterov' }),
      );
      const weights = groups.map(({ parameter }) => Float64Array.from(parameter.dataSync()));
      const momenta = weights.map((w) => new Float64Array(w.length));
      for (let step = 0; step < 3; step++) {
        const gradients = weights.map((w, i) =>
          Float64Array.from(Float32Array.from(randomNumbers(w.length, 10 * step + i))),
        );
        for (const [i, { parameter }] of groups.entries()) setGradient(parameter, gradients[i]!);
        const [lr, weightDecay] = [0.3 / (step + 1), 0.05];
        const total = norm(gradients.flatMap((g) => [...g]));
        const reported = scope(() => optimizer.update({ lr, weightDecay, clip, gradientScale }).item());
        expect(Math.abs(reported / total - 1)).toBeLessThan(1e-6);
        const factor = gradientScale * (clip > 0 ? Math.min(1, clip / (total * gradientScale + 1e-6)) : 1);
        for (const [i, { parameter, name, lrScale, decay }] of groups.entries()) {
          const numbers = {
            lr: lr * lrScale,
            decay: decay ? weightDecay : 0,
            matrix: parameter.shape.length > 1,
          };
          const g = gradients[i]!.map((v) => v * factor);
          [weights[i], momenta[i]] = plainStep(kind, weights[i]!, momenta[i]!, g, numbers) as [
            Float64Array<ArrayBuffer>,
            Float64Array<ArrayBuffer>,
          ];
          const tolerance = dtype === 'f64' ? 1e-12 : 1e-5;
          expect(relativeError(numbersOf(parameter), weights[i]!), name).toBeLessThan(tolerance);
          const buffer = optimizer.state().get(`momentum_buffer.${name}`)!;
          expect(relativeError(numbersOf(buffer), momenta[i]!), name).toBeLessThan(tolerance);
          expect(parameter.hasGrad).toBe(false);
        }
      }
      expect(optimizer.step).toBe(3);
    },
  );

  it('LARS takes plain steps where the weights or the gradient are zero', () => {
    const groups = [group('zero', [3, 4], 1), group('still', [3, 4], 2)];
    groups[0]!.parameter.assign(new Float32Array(12));
    const optimizer = kept(new Lars(groups));
    const gradient = Float32Array.from(randomNumbers(12, 3));
    setGradient(groups[0]!.parameter, gradient);
    setGradient(groups[1]!.parameter, new Float32Array(12));
    const before = [...groups[1]!.parameter.dataSync()];
    scope(() => void optimizer.update({ lr: 1, weightDecay: 0 }));
    expect(
      relativeError(
        groups[0]!.parameter.dataSync(),
        gradient.map((v) => -v),
      ),
    ).toBeLessThan(1e-6);
    expect([...groups[1]!.parameter.dataSync()]).toEqual(before);
  });

  it.each(['sgd', 'lars'])('%s changes nothing for a gradient that is not finite', (kind) => {
    const groups = [group('w', [7, 31], 1), group('b', [31], 2)];
    const optimizer = kept(kind === 'sgd' ? new Sgd(groups, { nesterov: true }) : new Lars(groups));
    const step = (bad: number): number => {
      const gradient = randomNumbers(31, 4);
      gradient[17] = bad;
      setGradient(groups[0]!.parameter, randomNumbers(7 * 31, 5));
      setGradient(groups[1]!.parameter, gradient);
      return scope(() => optimizer.update({ lr: 0.1, weightDecay: 0.1, clip: 1 }).item());
    };
    expect(Number.isFinite(step(0.5))).toBe(true);
    const snapshot = (): number[][] => [
      ...groups.map(({ parameter }) => [...parameter.dataSync()]),
      ...[...optimizer.state().values()].map((tensor) => [...tensor.dataSync()]),
    ];
    const before = snapshot();
    expect(Number.isFinite(step(Number.NaN))).toBe(false);
    expect(snapshot()).toEqual(before);
  });

  it('rewrite bf16 copies as the rounded weights', () => {
    const groups = [group('w', [33, 31], 1), group('alone', [5], 2)];
    const copy = groups[0]!.parameter.as('bf16');
    const before = numbersOf(copy);
    const optimizer = kept(new Sgd(groups));
    for (const { parameter } of groups) setGradient(parameter, randomNumbers(parameter.size, 3));
    scope(() => void optimizer.update({ lr: 0.1, weightDecay: 0.1 }));
    expect(numbersOf(copy)).toEqual(roundToBf16(groups[0]!.parameter.dataSync()));
    expect(numbersOf(copy)).not.toEqual(before);
  });

  it('leave parameters without a gradient alone, and refuse when there is none at all', () => {
    const groups = [group('w', [3], 1), group('idle', [3], 2)];
    const optimizer = kept(new Sgd(groups));
    expect(() => optimizer.update({ lr: 1, weightDecay: 1 })).toThrow(/no parameter has a gradient/);
    const idle = [...groups[1]!.parameter.dataSync()];
    setGradient(groups[0]!.parameter, randomNumbers(3, 3));
    scope(() => void optimizer.update({ lr: 1, weightDecay: 1 }));
    expect([...groups[1]!.parameter.dataSync()]).toEqual(idle);
  });

  it('go on from a saved state bit for bit', () => {
    const [one, two] = [group('w', [9, 5], 1), group('w', [9, 5], 1)];
    const [straight, first] = [kept(new Lars([one])), kept(new Lars([two]))];
    const run = (optimizer: Optimizer, of: ParameterGroup, step: number): void => {
      setGradient(of.parameter, randomNumbers(45, step));
      scope(() => void optimizer.update({ lr: 0.01, weightDecay: 0.1 }));
    };
    for (const step of [1, 2, 3]) run(straight, one, step);
    for (const step of [1, 2]) run(first, two, step);
    const saved = new Map([...first.state()].map(([name, tensor]) => [name, tensor.dataSync()]));
    expect([...saved.keys()]).toEqual(['momentum_buffer.w']);
    const resumed = kept(new Lars([two]));
    resumed.load((name) => saved.get(name)!, first.step);
    run(resumed, two, 3);
    expect(resumed.step).toBe(3);
    expect([...two.parameter.dataSync()]).toEqual([...one.parameter.dataSync()]);
  });
});
