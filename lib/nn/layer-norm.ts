import { layerNorm } from '../tensor/ops/layer-norm.js';
import { normalized, type Recomputed } from '../tensor/ops/recomputed.js';
import { normalizedSum, type ResidualStream, residualNorm } from '../tensor/ops/residual-norm.js';
import type { Parameter } from '../tensor/parameter.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** LayerNorm over the last axis with gain and shift. */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  /** @param eps 1e-6 all over the reference */
  constructor(
    width: number,
    private readonly eps = 1e-6,
  ) {
    super();
    this.weight = this.parameter('weight', [width]);
    this.bias = this.parameter('bias', [width]);
  }

  /** @param dtype of the result, the stream's by default */
  forward(x: ResidualStream, dtype: Dtype = x instanceof Tensor ? x.dtype : x.x.dtype): Tensor {
    const { weight, bias, eps } = this;
    if (x instanceof Tensor) return layerNorm(x, weight, bias, eps, dtype);
    return residualNorm(x, weight, bias, eps, dtype).y;
  }

  /**
   * The same for one linear layer that alone reads it: made again in backward rather than kept until then.
   * @param positions added to x first, without gradient
   */
  before(x: Tensor, dtype: Dtype = x.dtype, positions: Tensor | null = null): Recomputed {
    return normalized(x, this.weight, this.bias, this.eps, dtype, positions);
  }

  /** The same, and the stream with nothing pending, for readers that come after that layer. */
  split(x: ResidualStream, dtype: Dtype): { stream: Tensor; normal: Recomputed } {
    if (x instanceof Tensor) return { stream: x, normal: this.before(x, dtype) };
    return normalizedSum(x, this.weight, this.bias, this.eps, dtype);
  }
}
