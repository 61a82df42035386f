import { afterEach, describe, expect, it } from 'vitest';
import { biasedSelfAttention } from '../../lib/tensor/ops/attention.js';
import { batchNorm } from '../../lib/tensor/ops/batch-norm.js';
import { smoothCrossEntropy, softCrossEntropy } from '../../lib/tensor/ops/class-loss.js';
import { add, gelu } from '../../lib/tensor/ops/pointwise.js';
import { positionBias } from '../../lib/tensor/ops/position-bias.js';
import { meanTokens } from '../../lib/tensor/ops/tokens.js';
import type { Parameter } from '../../lib/tensor/parameter.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { gradientErrors } from './gradient-check.js';
import { disposeParameter, randomNumbers, randomParameter, tensorOf } from './numbers.js';

const made: Parameter[] = [];

function random(shape: readonly number[], seed: number): Parameter {
  const parameter = randomParameter(shape, seed);
  made.push(parameter);
  return parameter;
}

function expectGradients(of: Record<string, Parameter>, forward: () => Tensor): void {
  for (const [name, error] of Object.entries(gradientErrors(of, forward))) {
    expect(error, name).toBeLessThan(1e-6);
  }
}

afterEach(() => {
  for (const parameter of made.splice(0)) disposeParameter(parameter);
});

describe("gradients of the classifiers' ops in f64 against finite differences", () => {
  it.each([
    [1, 2, 1],
    [3, 7, 2],
    [2, 130, 1],
  ])('biasedSelfAttention, batch %i, %i tokens, %i heads', (batch, length, heads) => {
    const qkv = random([batch, length, 3 * heads * 5], 31);
    const bias = random([heads, length, length], 32);
    expectGradients({ qkv, bias }, () => biasedSelfAttention(qkv, bias, heads, 0.4));
  });

  it('a position bias table that two attentions share', () => {
    const qkv = random([2, 5, 24], 33);
    const table = random([4, 2], 34);
    const index = Tensor.from(
      Int32Array.from({ length: 25 }, (_, i) => (i * i) % 4),
      [5, 5],
    );
    expectGradients({ qkv, table }, () => {
      const bias = positionBias(table, index);
      return add(biasedSelfAttention(qkv, bias, 2, 0.5), biasedSelfAttention(qkv, bias, 2, 0.25));
    });
    index.release();
  });

  it.each([
    [3, 1],
    [5, 33],
  ])('batchNorm of %i samples of %i, in training and evaluation', (rows, width) => {
    const x = random([rows, width], 35);
    const running = {
      mean: tensorOf(randomNumbers(width, 36), [width], 'f64'),
      variance: tensorOf(
        randomNumbers(width, 37).map((v) => v * v + 0.1),
        [width],
        'f64',
      ),
      batches: Tensor.from(Int32Array.of(0), []),
    };
    expectGradients({ x }, () => batchNorm(x, running, 0, 1e-3, true));
    expectGradients({ x }, () => batchNorm(x, running, 0, 1e-3, false));
    for (const tensor of Object.values(running)) tensor.release();
  });

  it.each([
    [1, 2],
    [7, 33],
  ])('softCrossEntropy and smoothCrossEntropy, %i rows of %i', (rows, classes) => {
    const logits = random([rows, classes], 38);
    const targets = tensorOf(randomNumbers(rows * classes, 39).map(Math.abs), [rows, classes], 'f64');
    const labels = Tensor.from(
      Int32Array.from({ length: rows }, (_, i) => (i * 5) % classes),
      [rows],
    );
    expectGradients({ logits }, () => softCrossEntropy(logits, targets));
    expectGradients({ logits }, () => smoothCrossEntropy(logits, labels, 0.1));
    targets.release();
    labels.release();
  });

  it('meanTokens', () => {
    const x = random([3, 5, 7], 40);
    expectGradients({ x }, () => meanTokens(x, 1));
    expectGradients({ x }, () => gelu(meanTokens(gelu(x), 0)));
  });
});
