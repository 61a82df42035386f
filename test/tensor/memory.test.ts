import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { linear } from '../../lib/tensor/ops/linear.js';
import { crossEntropy, mse } from '../../lib/tensor/ops/loss.js';
import { add, gelu, reshape } from '../../lib/tensor/ops/pointwise.js';
import { keep, scope } from '../../lib/tensor/scope.js';
import { noGrad, record, withTape } from '../../lib/tensor/tape.js';
import { readAll, Tensor } from '../../lib/tensor/tensor.js';
import { disposeParameter, randomParameter, relativeError } from './numbers.js';

const live = (): number => native.memoryStatistics().liveTensors;
const ones = (): Tensor => Tensor.from(Float32Array.of(1, 1), [2]);

describe('scopes', () => {
  it('release what was made in them, but for the result', () => {
    const before = live();
    const kept = scope(() => {
      const a = ones();
      const b = gelu(a);
      return { sum: add(a, b), parts: [b, { deep: [gelu(b)] }] as const, name: 'x' };
    });
    expect(live()).toBe(before + 3);
    expect(kept.sum.dataSync()).toHaveLength(2);
    kept.sum.release();
    kept.parts[0].release();
    kept.parts[1].deep[0]!.release();
    expect(live()).toBe(before);
  });

  it('hand their result to the scope around them', () => {
    const before = live();
    let inner: Tensor | null = null;
    scope(() => {
      inner = scope(() => gelu(ones()));
      expect(live()).toBe(before + 1);
    });
    expect(live()).toBe(before);
    expect(inner!).toMatchObject({ released: true });
  });

  it('release everything when their body throws, and leave the outer scope in force', () => {
    const before = live();
    scope(() => {
      const outer = ones();
      expect(() =>
        scope(() => {
          gelu(outer);
          throw new RangeError('inside');
        }),
      ).toThrow(RangeError);
      expect(live()).toBe(before + 1);
      gelu(outer);
    });
    expect(live()).toBe(before);
  });

  it('refuse a promise', () => {
    const before = live();
    expect(() => scope(async () => ones())).toThrow(/scope: .*promise/);
    expect(live()).toBe(before);
  });

  it('find the tensors of a result that refers to itself', () => {
    const before = live();
    const ring: { tensor: Tensor | null; self: unknown } = { tensor: null, self: null };
    scope(() => {
      ring.self = [ring, { ring }];
      ring.tensor = ones();
      gelu(ring.tensor);
      return ring;
    });
    expect(live()).toBe(before + 1);
    ring.tensor!.release();
    expect(live()).toBe(before);
  });

  it('leave kept tensors and extra holds alone', () => {
    const before = live();
    const [kept, held] = [{ tensor: null as Tensor | null }, { tensor: null as Tensor | null }];
    scope(() => {
      kept.tensor = keep(ones());
      held.tensor = ones().hold();
    });
    expect(live()).toBe(before + 2);
    kept.tensor!.release();
    held.tensor!.release();
    expect(live()).toBe(before);
  });
});

describe('released tensors', () => {
  it('used in an op: the error names the op and the argument', () => {
    const a = ones();
    const b = ones();
    b.release();
    expect(() => gelu(b)).toThrow(/gelu.*argument 1.*released/);
    expect(() => add(a, b)).toThrow(/add.*argument 2.*released/);
    expect(() => b.dataSync()).toThrow(/read.*released/i);
    expect(() => b.hold()).toThrow(/hold: a tensor \[2\] was released/);
    a.release();
  });

  it('released twice throws, also after holds', () => {
    const a = ones().hold();
    a.release();
    a.release();
    expect(() => a.release()).toThrow(/release: a tensor \[2\] was released twice/);
  });

  it('may be disposed again by `using`', () => {
    const a = ones();
    a[Symbol.dispose]();
    a[Symbol.dispose]();
    expect(a.released).toBe(true);
  });
});

describe('the tape', () => {
  it('holds what backward needs until it is walked, or disposed of', () => {
    const x = randomParameter([3, 4], 1);
    const before = live();
    withTape((tape) => {
      scope(() => void gelu(gelu(x)));
      // The inner gelu's output, kept for the outer one's backward.
      expect(live()).toBe(before + 1);
      tape.dispose();
      expect(live()).toBe(before);
    });
    withTape(() => scope(() => void gelu(gelu(x))));
    expect(live()).toBe(before);
    disposeParameter(x);
  });

  it('keeps nothing in noGrad', () => {
    const x = randomParameter([3, 4], 1);
    const before = live();
    withTape(() => {
      const y = noGrad(() => scope(() => gelu(gelu(x))));
      expect(live()).toBe(before + 1);
      expect(y.requiresGrad).toBe(false);
      y.release();
    });
    disposeParameter(x);
  });

  it('adds the gradients of two backward passes', () => {
    const [w, x1, x2] = [randomParameter([3, 4], 1), randomParameter([5, 4], 2), randomParameter([5, 4], 3)];
    const pass = (x: Tensor, seed = 1): void =>
      withTape((tape) =>
        scope(() => void tape.backward(mse(linear(x, w, null), Tensor.zeros([5, 3], 'f64')), seed)),
      );
    const gradient = (): number[] => [...w.grad!.dataSync()];
    pass(x1);
    const first = gradient();
    w.clearGrad();
    pass(x2, 0.5);
    const second = gradient();
    w.clearGrad();
    pass(x1);
    pass(x2, 0.5);
    expect(
      relativeError(
        gradient(),
        first.map((v, i) => v + second[i]!),
      ),
    ).toBeLessThan(1e-14);
    w.clearGrad();
    pass(x2, 2);
    expect(
      relativeError(
        gradient(),
        second.map((v) => 4 * v),
      ),
    ).toBeLessThan(1e-14);
    for (const parameter of [w, x1, x2]) disposeParameter(parameter);
  });

  it('leaves nothing behind where an op cannot be walked back', () => {
    const p = randomParameter([3, 4], 1);
    const before = live();
    expect(() =>
      withTape((tape) =>
        scope(() => {
          const a = gelu(p);
          const broken = noGrad(() => gelu(a));
          // What this op saved, and the gradients on their way to it and past it, must go.
          record([broken], [a], [gelu(a)], () => {
            throw new RangeError('no way back');
          });
          const b = add(gelu(broken), a);
          tape.backward(mse(gelu(b), Tensor.zeros([3, 4], 'f64')), 1, [a]);
        }),
      ),
    ).toThrow(/no way back/);
    expect(live()).toBe(before);
    disposeParameter(p);
  });

  it('returns wanted gradients, which the caller owns and nobody else writes into', () => {
    const p = randomParameter([2, 3], 5);
    const before = live();
    const outcome = withTape((tape) =>
      scope(() => {
        const a = gelu(p);
        const early = gelu(a);
        const b = reshape(a, [3, 2]);
        const c = gelu(b);
        const loss = mse(add(c, reshape(early, [3, 2])), Tensor.zeros([3, 2], 'f64'));
        const [gradA, gradB, none] = tape.backward(loss, 1, [a, b, ones()]);
        expect(none).toBeNull();
        return { a, b, gradA, gradB, c };
      }),
    );
    const { b, c, gradA, gradB } = outcome;
    // d loss/d c, from the values, times gelu'(b) by a central difference.
    const erf = (v: number): number => {
      let sum = 0;
      let term = v;
      for (let n = 0; n < 60; n++) {
        sum += term / (2 * n + 1);
        term *= (-v * v) / (n + 1);
      }
      return (2 / Math.sqrt(Math.PI)) * sum;
    };
    const g = (v: number): number => 0.5 * v * (1 + erf(v / Math.SQRT2));
    const wanted = [...b.dataSync()].map((v, i) => {
      const total = c.dataSync()[i]! + g(v);
      return ((2 * total) / 6) * ((g(v + 1e-5) - g(v - 1e-5)) / 2e-5);
    });
    expect(relativeError(gradB!.dataSync(), wanted)).toBeLessThan(1e-8);
    // a feeds gelu twice over, with equal derivatives.
    expect(
      relativeError(
        gradA!.dataSync(),
        wanted.map((v) => 2 * v),
      ),
    ).toBeLessThan(1e-8);
    for (const tensor of Object.values(outcome)) tensor?.release();
    expect(live()).toBe(before + 1);
    disposeParameter(p);
    expect(live()).toBe(before - 1);
  });
});

describe('errors in queued work', () => {
  const badLoss = (): Tensor =>
    scope(() => crossEntropy(Tensor.zeros([2, 5]), Tensor.from(Int32Array.of(1, 5), [2])).loss);

  it('surface at the next waiting read, named, and leave the device usable', () => {
    const before = live();
    const loss = badLoss();
    expect(() => loss.item()).toThrow(/cross_entropy.*label 5 of row 1.*5 classes/);
    loss.release();
    const good = scope(() => add(ones(), ones()));
    expect([...good.dataSync()]).toEqual([2, 2]);
    good.release();
    expect(live()).toBe(before);
  });

  it('reject an asynchronous read', async () => {
    const loss = badLoss();
    await expect(loss.data()).rejects.toThrow(/cross_entropy.*label 5/);
    loss.release();
    const pair = [ones(), Tensor.zeros([3], 'i32')];
    const values = await readAll(pair);
    expect(values.map((v) => [...v])).toEqual([
      [1, 1],
      [0, 0, 0],
    ]);
    for (const tensor of pair) tensor.release();
  });

  it('of shapes are thrown at once, naming the op', () => {
    const before = live();
    scope(() => {
      expect(() => add(ones(), Tensor.zeros([3]))).toThrow(/^\[add\] .*\[3\]/);
      expect(() => reshape(ones(), [3])).toThrow(/reshape/);
      expect(() => Tensor.zeros([3]).item()).toThrow(/item: a tensor \[3\] is no scalar/);
    });
    expect(live()).toBe(before);
  });
});
