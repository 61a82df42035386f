import { checkpoint } from '../tensor/ops/checkpoint.js';
import { cast } from '../tensor/ops/pointwise.js';
import { type DropPathDraw, dropPath } from '../tensor/ops/residual.js';
import { type ResidualStream, summed } from '../tensor/ops/residual-norm.js';
import type { Parameter } from '../tensor/parameter.js';
import { scope } from '../tensor/scope.js';
import type { Dtype, Tensor } from '../tensor/tensor.js';
import { Attention, CrossAttention, type Grid } from './attention.js';
import { LayerNorm } from './layer-norm.js';
import { Mlp } from './mlp.js';
import { Module } from './module.js';

/** What a forward pass computes in, and where its stochastic depth comes from. */
export interface Pass {
  /** dtype of GEMMs and attention; the residual stream is f32 all the same */
  dtype: Dtype;
  /** null: no stochastic depth */
  dropPath: DropPathDraw | null;
  /** whether blocks keep only their inputs and run again on the way back; default false */
  checkpoint?: boolean;
}

export interface BlockOptions {
  width: number;
  heads: number;
  mlpRatio: number;
  /** rate of stochastic depth */
  dropPath: number;
  /** initial layer scale; 0 for none */
  layerScale: number;
  /** first of this block's two streams of random draws; no other block has them */
  stream: number;
  /** grid of its own relative position bias; none by default */
  window?: Grid | null;
}

/** Rates of stochastic depth over the blocks of a stack: linear from 0 to `rate`. */
export function dropPathRates(rate: number, depth: number): number[] {
  return Array.from({ length: depth }, (_, i) => (depth === 1 ? 0 : (rate * i) / (depth - 1)));
}

/** Pre-norm transformer block: x + dp(γ1·attn(norm1 x)), then x + dp(γ2·mlp(norm2 x)). */
export class Block extends Module {
  readonly gamma1: Parameter | null;
  readonly gamma2: Parameter | null;
  readonly norm1: LayerNorm;
  readonly attn: Attention;
  readonly norm2: LayerNorm;
  readonly mlp: Mlp;

  constructor(readonly options: BlockOptions) {
    super();
    const { width, heads, mlpRatio, layerScale } = options;
    this.gamma1 = layerScale > 0 ? this.parameter('gamma_1', [width]) : null;
    this.gamma2 = layerScale > 0 ? this.parameter('gamma_2', [width]) : null;
    this.norm1 = this.child('norm1', new LayerNorm(width));
    this.attn = this.child('attn', new Attention(width, heads, options.window));
    this.norm2 = this.child('norm2', new LayerNorm(width));
    this.mlp = this.child('mlp', new Mlp(width, Math.trunc(width * mlpRatio)));
  }

  /** x [B, T, C] -> [B, T, C]; see extend. */
  forward(x: Tensor, pass: Pass, branch = 0, sharedBias: Tensor | null = null): Tensor {
    return scope(() => summed(this.extend(x, pass, branch, sharedBias)));
  }

  /**
   * Takes a stream [B, T, C] through the block. The last branch stays pending, for the norm that reads the sum next;
   * with checkpointing it does not, since one tensor is less to keep than two.
   * @param branch keeps the draws of two passes through the same weights apart
   * @param sharedBias relative position bias of all blocks, f32 [heads, T, T]
   */
  extend(x: ResidualStream, pass: Pass, branch = 0, sharedBias: Tensor | null = null): ResidualStream {
    if (pass.checkpoint !== true) return this.#run(x, pass, branch, sharedBias);
    const input = summed(x);
    return checkpoint([input, sharedBias], () => summed(this.#run(input, pass, branch, sharedBias)));
  }

  #run(x: ResidualStream, pass: Pass, branch: number, sharedBias: Tensor | null): ResidualStream {
    const { dropPath: rate, stream: draws } = this.options;
    return scope(() => {
      const mixed = scope(() => {
        const { stream, normal } = this.norm1.split(x, pass.dtype);
        const keep = dropPath(stream.shape[0]!, rate, pass.dropPath, draws + branch);
        return { x: stream, branch: this.attn.forward(normal, sharedBias), gamma: this.gamma1, keep };
      });
      return scope(() => {
        const { stream, normal } = this.norm2.split(mixed, pass.dtype);
        const keep = dropPath(stream.shape[0]!, rate, pass.dropPath, draws + 1 + branch);
        return { x: stream, branch: this.mlp.forward(normal), gamma: this.gamma2, keep };
      });
    });
  }
}

type CrossInputs = [queries: Tensor, placedQueries: Tensor, keysValues: Tensor, positions: Tensor];

/**
 * The regressor's block (CAE section 3.2). With queries q and positions:
 * y = q + dp(γ1·cross(norm1_q(q + pos_q), norm1_k(kv + pos_kv), norm1_v(kv))); z = norm2_cross(y);
 * out = z + dp(γ2·mlp_cross(z)): the second half's residual is the normalised z.
 */
export class CrossBlock extends Module {
  readonly gamma1: Parameter;
  readonly gamma2: Parameter;
  readonly norm1Query: LayerNorm;
  readonly norm1Key: LayerNorm;
  readonly norm1Value: LayerNorm;
  readonly norm2: LayerNorm;
  readonly crossAttn: CrossAttention;
  readonly mlp: Mlp;

  constructor(readonly options: BlockOptions) {
    super();
    const { width, heads, mlpRatio, layerScale } = options;
    this.gamma1 = this.parameter('gamma_1_cross', [width]);
    this.gamma2 = this.parameter('gamma_2_cross', [width]);
    for (const gamma of [this.gamma1, this.gamma2]) gamma.requiresGrad = layerScale > 0;
    this.norm1Query = this.child('norm1_q', new LayerNorm(width));
    this.norm1Key = this.child('norm1_k', new LayerNorm(width));
    this.norm1Value = this.child('norm1_v', new LayerNorm(width));
    this.norm2 = this.child('norm2_cross', new LayerNorm(width));
    this.crossAttn = this.child('cross_attn', new CrossAttention(width, heads));
    this.mlp = this.child('mlp_cross', new Mlp(width, Math.trunc(width * mlpRatio)));
  }

  /**
   * The last branch stays pending unless blocks are checkpointed: see Block.extend.
   * @param queries [B, M, C]
   * @param placedQueries queries + their positions
   * @param keysValues [B, T, C]
   * @param positions of keysValues, [B, T, C], without gradient
   */
  forward(
    queries: Tensor,
    placedQueries: Tensor,
    keysValues: Tensor,
    positions: Tensor,
    pass: Pass,
  ): ResidualStream {
    const inputs: CrossInputs = [queries, placedQueries, keysValues, positions];
    if (pass.checkpoint === true) return checkpoint(inputs, () => summed(this.#run(inputs, pass)));
    return this.#run(inputs, pass);
  }

  #run([queries, placedQueries, keysValues, positions]: CrossInputs, pass: Pass): ResidualStream {
    const { dropPath: rate, stream } = this.options;
    const keep = (half: number): Tensor | null =>
      dropPath(queries.shape[0]!, rate, pass.dropPath, stream + half);
    const z = scope(() => {
      const crossed = this.crossAttn.forward(
        this.norm1Query.before(placedQueries, pass.dtype),
        this.norm1Key.before(keysValues, pass.dtype, positions),
        this.norm1Value.before(keysValues, pass.dtype),
      );
      return this.norm2.forward({ x: queries, branch: crossed, gamma: this.gamma1, keep: keep(0) });
    });
    return scope(() => ({
      x: z,
      branch: this.mlp.forward(cast(z, pass.dtype)),
      gamma: this.gamma2,
      keep: keep(1),
    }));
  }
}
