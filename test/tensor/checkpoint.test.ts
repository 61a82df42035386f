import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { Block, CrossBlock, type Pass } from '../../lib/nn/block.js';
import { throughBlocks } from '../../lib/nn/block-stack.js';
import { Module } from '../../lib/nn/module.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { checkpoint } from '../../lib/tensor/ops/checkpoint.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { add, mean } from '../../lib/tensor/ops/pointwise.js';
import { summed } from '../../lib/tensor/ops/residual-norm.js';
import { concatTokens } from '../../lib/tensor/ops/tokens.js';
import type { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { noGrad, withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { randomNumbers, relativeError } from '../tensor/numbers.js';

const width = 16;
const options = { width, heads: 2, mlpRatio: 2, dropPath: 0.4, layerScale: 0.1 };

/** Blocks, then two cross blocks that read their own output and the blocks'. */
class Stack extends Module {
  readonly blocks: Block[];
  readonly crossBlocks: CrossBlock[];

  /** @param pending whether a block leaves its last branch to the next one's norm, as models' blocks do */
  constructor(
    depth: number,
    private readonly pending = true,
  ) {
    super();
    const streams = Array.from({ length: depth + 2 }, (_, i) => 4 * i);
    this.blocks = this.children(
      'blocks',
      streams.slice(2).map((stream) => new Block({ ...options, stream })),
    );
    this.crossBlocks = this.children(
      'cross',
      streams.slice(0, 2).map((stream) => new CrossBlock({ ...options, stream })),
    );
    for (const [i, parameter] of [...this.namedParameters().values()].entries()) {
      parameter.assign(Float32Array.from(randomNumbers(parameter.size, i + 1)));
    }
  }

  forward(x: Tensor, queries: Tensor, pass: Pass): Tensor {
    return scope(() => {
      let y = x;
      if (this.pending) y = summed(throughBlocks(this.blocks, x, pass));
      else for (const block of this.blocks) y = block.forward(y, pass);
      let current = queries;
      for (const block of this.crossBlocks) {
        const keysValues = concatTokens(y, current);
        const positions = noGrad(() => add(keysValues, keysValues));
        current = summed(block.forward(current, add(current, queries), keysValues, positions, pass));
      }
      return current;
    });
  }
}

/** Loss, gradients of parameters and inputs, and the most memory in use. */
function run(model: Stack, again: boolean, sizes = { batch: 3, tokens: 5 }) {
  const { batch, tokens } = sizes;
  const device = defaultDevice();
  return scope(() => {
    const input = (seed: number): Tensor => {
      const shape = [batch, tokens, width];
      const tensor = Tensor.from(Float32Array.from(randomNumbers(batch * tokens * width, seed)), shape);
      tensor.requiresGrad = true;
      return tensor;
    };
    const [x, queries, target] = [input(101), input(102), input(103)];
    native.synchronize(device);
    native.resetPeakMemory(device);
    const before = native.memoryStatistics(device).allocated;
    const pass = { dtype: 'f32', dropPath: { seed: 5, step: 3 }, checkpoint: again } as const;
    return withTape((tape) => {
      const loss = mse(model.forward(x!, queries!, pass), target!);
      const held = native.memoryStatistics(device).allocated - before;
      const grads = tape.backward(loss, 1, [x!, queries!]).map((grad) => {
        const values = [...grad!.dataSync()];
        grad!.release();
        return values;
      });
      const parameters = [...model.namedParameters()].map(([name, parameter]: [string, Parameter]) => {
        parameter.clearGrad();
        return [name, [...(parameter.grad?.dataSync() ?? [])]];
      });
      const peak = native.memoryStatistics(device).peakAllocated - before;
      return { held, peak, results: { loss: loss.item(), grads, parameters } };
    });
  });
}

describe('activation checkpointing', () => {
  it('of blocks changes no bit of the loss or of any gradient', () => {
    const model = new Stack(2, false);
    const plain = run(model, false);
    const live = native.memoryStatistics(defaultDevice()).liveTensors;
    const again = run(model, true);
    expect(native.memoryStatistics(defaultDevice()).liveTensors).toBe(live);
    expect(again.results).toEqual(plain.results);
    model.dispose();
  });

  it('of blocks whose branches are otherwise summed by the next norm changes no more than rounding', () => {
    const model = new Stack(3);
    const numbers = ({ results }: ReturnType<typeof run>): number[] => [
      results.loss,
      ...results.grads.flat(),
      ...results.parameters.flatMap(([, values]) => values as number[]),
    ];
    const plain = numbers(run(model, false));
    expect(relativeError(numbers(run(model, true)), plain)).toBeLessThan(1e-6);
    model.dispose();
  });

  it('holds a small part of the activations', () => {
    const model = new Stack(8);
    const sizes = { batch: 2, tokens: 20 };
    run(model, false, sizes);
    const plain = run(model, false, sizes);
    const again = run(model, true, sizes);
    expect(again.held).toBeLessThan(0.25 * plain.held);
    expect(again.peak).toBeLessThan(0.5 * plain.peak);
    model.dispose();
  });

  it('gives a gradient to every input, one that passed through to several included', () => {
    const before = native.memoryStatistics(defaultDevice()).liveTensors;
    scope(() => {
      const [a, b] = [1, 2].map((value) => {
        const tensor = Tensor.from(Float32Array.of(value, value), [2]);
        tensor.requiresGrad = true;
        return tensor;
      }) as [Tensor, Tensor];
      const unused = Tensor.from(Float32Array.of(0), [1]);
      withTape((tape) => {
        const y = checkpoint([a, null, b, unused], () => add(a, b));
        const loss = mse(y, Tensor.zeros([2]));
        const grads = tape.backward(loss, 1, [a, b]);
        for (const grad of grads) expect([...grad!.dataSync()]).toEqual([3, 3]);
        for (const grad of grads) grad!.release();
      });
    });
    expect(native.memoryStatistics(defaultDevice()).liveTensors).toBe(before);
  });

  it('runs what needs no gradient once', () => {
    scope(() => {
      let runs = 0;
      const x = Tensor.zeros([4]);
      withTape(() => {
        checkpoint([x], () => {
          runs += 1;
          return mean(x);
        });
      });
      expect(runs).toBe(1);
    });
  });
});
