import { scope } from '../tensor/scope.js';
import type { Dtype, Tensor } from '../tensor/tensor.js';
import { CrossAttention } from './attention.js';
import { LayerNorm } from './layer-norm.js';
import { Module } from './module.js';

/** The attentive probe's block: cross-attention of normalised queries to normalised tokens, without a residual. */
export class AttentiveBlock extends Module {
  readonly normQuery: LayerNorm;
  readonly normKey: LayerNorm;
  readonly normValue: LayerNorm;
  readonly crossAttn: CrossAttention;

  constructor(width: number, heads: number) {
    super();
    this.normQuery = this.child('norm_q', new LayerNorm(width));
    this.normKey = this.child('norm_k', new LayerNorm(width));
    this.normValue = this.child('norm_v', new LayerNorm(width));
    this.crossAttn = this.child('cross_attn', new CrossAttention(width, heads));
  }

  /** queries [B, Q, C], tokens [B, T, C] -> [B, Q, C] in `dtype` */
  forward(queries: Tensor, tokens: Tensor, dtype: Dtype): Tensor {
    return scope(() =>
      this.crossAttn.forward(
        this.normQuery.forward(queries, dtype),
        this.normKey.forward(tokens, dtype),
        this.normValue.forward(tokens, dtype),
      ),
    );
  }
}
