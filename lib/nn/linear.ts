import { linear } from '../tensor/ops/linear.js';
import type { Recomputed } from '../tensor/ops/recomputed.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** y = x·weightᵀ + bias over the last axis. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    bias = true,
  ) {
    super();
    this.weight = this.parameter('weight', [outFeatures, inFeatures]);
    this.bias = bias ? this.parameter('bias', [outFeatures]) : null;
  }

  /** @param bias in place of its own: attention builds one from q_bias and v_bias */
  forward(x: Tensor | Recomputed, bias: Tensor | null = this.bias): Tensor {
    return linear(x, this.weight, bias);
  }
}
