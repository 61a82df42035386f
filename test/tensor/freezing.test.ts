import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { AdamW } from '../../lib/optim/adamw.js';
import { Lars } from '../../lib/optim/lars.js';
import type { Optimizer } from '../../lib/optim/optimizer.js';
import { parameterGroups } from '../../lib/optim/parameter-groups.js';
import { Sgd } from '../../lib/optim/sgd.js';
import { conv2d, convTranspose2d } from '../../lib/tensor/ops/conv.js';
import { layerNorm } from '../../lib/tensor/ops/layer-norm.js';
import { linear } from '../../lib/tensor/ops/linear.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { add } from '../../lib/tensor/ops/pointwise.js';
import { activated, normalized } from '../../lib/tensor/ops/recomputed.js';
import { normalizedSum, residualNorm } from '../../lib/tensor/ops/residual-norm.js';
import { qkvBias } from '../../lib/tensor/ops/tokens.js';
import type { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { gradientErrors } from './gradient-check.js';
import { disposeParameter, randomNumbers, randomParameter, relativeError } from './numbers.js';

const made: Parameter[] = [];
afterEach(() => {
  for (const parameter of made.splice(0)) disposeParameter(parameter);
});

type Named = Record<string, Parameter>;

function parameters(shapes: Record<string, readonly number[]>): Named {
  const named = Object.entries(shapes).map(([name, shape], i) => {
    const parameter = randomParameter(shape, 300 + i);
    made.push(parameter);
    return [name, parameter] as const;
  });
  return Object.fromEntries(named);
}

/** An op of a weight and a bias (or two), of an x that is the image of nothing trained. */
const ops: [string, Record<string, readonly number[]>, (p: Named) => Tensor][] = [
  ['linear', { x: [2, 3, 7], w: [5, 7], b: [5] }, (p) => linear(p['x']!, p['w']!, p['b']!)],
  [
    'linear behind a GELU',
    { x: [3, 7], w: [5, 7], b: [5] },
    (p) => linear(activated(p['x']!), p['w']!, p['b']!),
  ],
  [
    'linear behind a norm',
    { x: [3, 8], w: [8], b: [8], matrix: [5, 8], shift: [5] },
    (p) => linear(normalized(p['x']!, p['w']!, p['b']!, 1e-6, 'f64'), p['matrix']!, p['shift']!),
  ],
  [
    'linear with the bias of queries and values',
    { x: [3, 2, 4], w: [15, 4], b: [5], b2: [5] },
    (p) => linear(p['x']!, p['w']!, qkvBias(p['b']!, p['b2']!)),
  ],
  [
    'conv2d',
    { x: [2, 5, 6, 3], w: [4, 3, 3, 3], b: [4] },
    (p) => conv2d(p['x']!, p['w']!, p['b']!, { stride: 2, padding: 1 }),
  ],
  [
    'conv2d with relu',
    { x: [2, 5, 5, 3], w: [4, 3, 3, 3], b: [4] },
    (p) => conv2d(p['x']!, p['w']!, p['b']!, { padding: 1, relu: true }),
  ],
  [
    'convTranspose2d',
    { x: [2, 3, 3, 4], w: [4, 3, 2, 2], b: [3] },
    (p) => convTranspose2d(p['x']!, p['w']!, p['b']!, { stride: 2 }),
  ],
  ['layerNorm', { x: [5, 8], w: [8], b: [8] }, (p) => layerNorm(p['x']!, p['w']!, p['b']!, 1e-6, 'f64')],
  [
    'residualNorm',
    { x: [2, 3, 8], branch: [2, 3, 8], gamma: [8], w: [8], b: [8] },
    (p) => {
      const sum = { x: p['x']!, branch: p['branch']!, gamma: p['gamma']!, keep: null };
      const { stream, y } = residualNorm(sum, p['w']!, p['b']!, 1e-6, 'f64');
      return add(stream, y);
    },
  ],
  [
    'linear behind a sum and its norm',
    { x: [2, 3, 8], branch: [2, 3, 8], gamma: [8], w: [8], b: [8], matrix: [8, 8], shift: [8] },
    (p) => {
      const sum = { x: p['x']!, branch: p['branch']!, gamma: p['gamma']!, keep: null };
      const { stream, normal } = normalizedSum(sum, p['w']!, p['b']!, 1e-6, 'f64');
      return add(linear(normal, p['matrix']!, p['shift']!), stream);
    },
  ],
];

/** A subset by name. */
const some = (named: Named, wanted: (name: string) => boolean): Named =>
  Object.fromEntries(Object.entries(named).filter(([name]) => wanted(name)));

describe.each(ops)('%s', (_, shapes, forward) => {
  it.each([
    ['biases', (name: string) => /^(b2?|shift)$/.test(name)],
    ['one bias', (name: string) => name === 'b'],
    ['all but biases', (name: string) => !/^(b2?|shift)$/.test(name)],
    ['weights', (name: string) => /^(w|matrix)$/.test(name)],
  ])('with only the %s trained gives each its gradient, and the others none', (_kind, trained) => {
    const p = parameters(shapes);
    for (const [name, parameter] of Object.entries(p)) parameter.requiresGrad = trained(name);
    const before = native.memoryStatistics().liveTensors;
    const chosen = some(p, trained);
    for (const twice of [false, true]) {
      const errors = gradientErrors(chosen, () => (twice ? add(forward(p), forward(p), 0.5, 2) : forward(p)));
      for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
    }
    for (const [name, { hasGrad, grad }] of Object.entries(some(p, (name) => !trained(name)))) {
      expect([hasGrad, grad], name).toEqual([false, null]);
    }
    expect(native.memoryStatistics().liveTensors).toBe(before + Object.keys(chosen).length);
  });
});

describe.each([
  ['AdamW', (groups: ReturnType<typeof parameterGroups>): Optimizer => new AdamW(groups)],
  ['Sgd', (groups: ReturnType<typeof parameterGroups>): Optimizer => new Sgd(groups)],
  ['Lars', (groups: ReturnType<typeof parameterGroups>): Optimizer => new Lars(groups)],
])('%s', (_, create) => {
  const values = (named: Named): Record<string, number[]> =>
    Object.fromEntries(Object.entries(named).map(([name, parameter]) => [name, [...parameter.dataSync()]]));
  const target = (): Tensor => Tensor.from(randomNumbers(15, 4), [3, 5]);

  it('leaves alone what was frozen after it was made, before a step or between its gradient and the step', () => {
    const p = parameters({ x: [3, 7], w: [5, 7], b: [5] });
    p['x']!.requiresGrad = false;
    const optimizer = create(parameterGroups(new Map(Object.entries(p))));
    const backward = (): void =>
      withTape((tape) => scope(() => void tape.backward(mse(linear(p['x']!, p['w']!, p['b']!), target()))));
    const update = (): void => scope(() => void optimizer.update({ lr: 0.1, weightDecay: 0.1 }));
    for (const frozenFirst of [true, false]) {
      p['b']!.requiresGrad = true;
      const before = values(p);
      if (frozenFirst) p['b']!.requiresGrad = false;
      backward();
      p['b']!.requiresGrad = false;
      update();
      expect(values(p)['b']).toEqual(before['b']);
      expect(values(p)['w']).not.toEqual(before['w']);
      expect(p['b']!.hasGrad).toBe(false);
    }
    p['w']!.requiresGrad = false;
    expect(() => update()).toThrow(/no parameter has a gradient/);
    p['b']!.requiresGrad = true;
    const before = values(p);
    backward();
    update();
    expect(values(p)['w']).toEqual(before['w']);
    expect(values(p)['b']).not.toEqual(before['b']);
    optimizer.dispose();
  });
});

it('a gradient that an op returns is not added to a frozen parameter', () => {
  const p = parameters({ a: [3, 4], b: [3, 4] });
  const loss = (): void =>
    withTape((tape) =>
      scope(() => {
        const sum = add(p['a']!, p['b']!);
        // Frozen once the op was recorded.
        p['b']!.requiresGrad = false;
        tape.backward(mse(sum, Tensor.zeros([3, 4], 'f64')));
      }),
    );
  loss();
  expect(p['b']!.hasGrad).toBe(false);
  expect(relativeError(p['a']!.grad!.dataSync(), p['a']!.dataSync())).toBeGreaterThan(0);
});
