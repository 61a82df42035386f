import { biasedSelfAttention, crossAttention, selfAttention } from '../tensor/ops/attention.js';
import { add } from '../tensor/ops/pointwise.js';
import { positionBias } from '../tensor/ops/position-bias.js';
import type { Recomputed } from '../tensor/ops/recomputed.js';
import { qkvBias } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { relativePositions, relativePositionTensor } from './relative-position.js';

/** Patches along the sides of a picture. */
export interface Grid {
  height: number;
  width: number;
}

/** Multi-head self-attention with a fused projection, a query and a value bias, and no key bias. */
export class Attention extends Module {
  readonly qBias: Parameter;
  readonly vBias: Parameter;
  /** relative position bias of its own, for a grid of patches and a cls token */
  readonly biasTable: Parameter | null = null;
  readonly #biasIndex: Tensor | null = null;
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly #scale: number;

  constructor(
    width: number,
    private readonly heads: number,
    window: Grid | null = null,
  ) {
    super();
    this.#scale = (width / heads) ** -0.5;
    this.qBias = this.parameter('q_bias', [width]);
    this.vBias = this.parameter('v_bias', [width]);
    if (window !== null) {
      const positions = relativePositions(window.height, window.width);
      this.biasTable = this.parameter('relative_position_bias_table', [positions, heads]);
      this.#biasIndex = this.buffer(
        'relative_position_index',
        relativePositionTensor(window.height, window.width),
      );
    }
    this.qkv = this.child('qkv', new Linear(width, 3 * width, false));
    this.proj = this.child('proj', new Linear(width, width));
  }

  /**
   * x [B, T, C] -> [B, T, C]
   * @param sharedBias f32 [heads, T, T] that other blocks add to their scores, too; its own comes on top
   */
  forward(x: Tensor | Recomputed, sharedBias: Tensor | null = null): Tensor {
    const qkv = this.qkv.forward(x, qkvBias(this.qBias, this.vBias));
    const bias = this.#bias(sharedBias);
    const mixed =
      bias === null
        ? selfAttention(qkv, this.heads, this.#scale)
        : biasedSelfAttention(qkv, bias, this.heads, this.#scale);
    return this.proj.forward(mixed);
  }

  #bias(shared: Tensor | null): Tensor | null {
    if (this.biasTable === null || this.#biasIndex === null) return shared;
    const own = positionBias(this.biasTable, this.#biasIndex);
    return shared === null ? own : add(own, shared);
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
