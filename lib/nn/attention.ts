import { crossAttention, selfAttention } from '../tensor/ops/attention.js';
import type { Recomputed } from '../tensor/ops/recomputed.js';
import { qkvBias } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { Linear } from './linear.js';
import { Module } from './module.js';

/** Multi-head self-attention with a fused projection, a query and a value bias, and no key bias. */
export class Attention extends Module {
  readonly qBias: Parameter;
  readonly vBias: Parameter;
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly #scale: number;

  constructor(
    width: number,
    private readonly heads: number,
  ) {
    super();
    this.#scale = (width / heads) ** -0.5;
    this.qBias = this.parameter('q_bias', [width]);
    this.vBias = this.parameter('v_bias', [width]);
    this.qkv = this.child('qkv', new Linear(width, 3 * width, false));
    this.proj = this.child('proj', new Linear(width, width));
  }

  /** x [B, T, C] -> [B, T, C] */
  forward(x: Tensor | Recomputed): Tensor {
    const qkv = this.qkv.forward(x, qkvBias(this.qBias, this.vBias));
    return this.proj.forward(selfAttention(qkv, this.heads, this.#scale));
  }
}

/** Multi-head cross-attention with separate projections of queries, keys and values; no key bias. */
export class CrossAttention extends Module {
  readonly qBias: Parameter;
  readonly vBias: Parameter;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly proj: Linear;
  readonly #scale: number;

  constructor(
    width: number,
    private readonly heads: number,
  ) {
    super();
    this.#scale = (width / heads) ** -0.5;
    this.qBias = this.parameter('q_bias', [width]);
    this.vBias = this.parameter('v_bias', [width]);
    this.q = this.child('q', new Linear(width, width, false));
    this.k = this.child('k', new Linear(width, width, false));
    this.v = this.child('v', new Linear(width, width, false));
    this.proj = this.child('proj', new Linear(width, width));
  }

  /** q [B, Tq, C], k and v [B, Tk, C] -> [B, Tq, C] */
  forward(q: Tensor | Recomputed, k: Tensor | Recomputed, v: Tensor | Recomputed): Tensor {
    const out = crossAttention(
      this.q.forward(q, this.qBias),
      this.k.forward(k),
      this.v.forward(v, this.vBias),
      this.heads,
      this.#scale,
    );
    return this.proj.forward(out);
  }
}
