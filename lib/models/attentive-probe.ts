import { AttentiveBlock } from '../nn/attentive-block.js';
import { BatchNorm } from '../nn/batch-norm.js';
import type { Pass } from '../nn/block.js';
import { Linear } from '../nn/linear.js';
import { cast, reshape } from '../tensor/ops/pointwise.js';
import { summed } from '../tensor/ops/residual-norm.js';
import { repeatToken } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Probe } from './classifier.js';
import type { VitConfig } from './vit-config.js';
import { VitEncoder } from './vit-encoder.js';
import { initializeEncoder, WeightDraws } from './vit-init.js';

/** eps of the batch normalisation before the linear layer. */
const eps = 1e-5;

/**
 * An attentive classifier over a frozen encoder (reference.md, section 4): a learnt query reads all its normalised
 * tokens by one cross-attention; then batch normalisation without gain and shift, and a linear layer, both in f32.
 */
export class AttentiveProbe extends VitEncoder implements Probe {
  readonly queryToken: Parameter;
  readonly attentiveBlocks: AttentiveBlock[];
  readonly batchNorm: BatchNorm;
  readonly linear: Linear;

  constructor(config: VitConfig) {
    super(config, true);
    const { embedDim: width, numHeads, numClasses } = config;
    for (const parameter of this.namedParameters().values()) parameter.requiresGrad = false;
    this.queryToken = this.parameter('query_token', [1, 1, width]);
    this.attentiveBlocks = this.children('attentive_blocks', [new AttentiveBlock(width, numHeads)]);
    this.batchNorm = this.child('fc_norm', new BatchNorm(width, eps));
    this.linear = this.child('head', new Linear(width, numClasses));
  }

  /** Draws all weights, a function of the seed; the query starts at zero, the head with deviation 0.01. */
  initialize(seed: number): void {
    const draws = new WeightDraws(seed);
    initializeEncoder(this, draws);
    draws.constant(this.queryToken, 0);
    for (const { normQuery, normKey, normValue, crossAttn } of this.attentiveBlocks) {
      for (const norm of [normQuery, normKey, normValue]) draws.layerNorm(norm);
      draws.attention(crossAttn);
    }
    draws.linear(this.linear, 0.01);
    this.batchNorm.reset();
  }

  forward(images: Tensor, pass: Pass, training: boolean): Tensor {
    return scope(() => this.head(this.features(images, pass), pass, training));
  }

  /** All tokens, normalised: f32 [B, 1+N, C], without gradient and without stochastic depth */
  features(images: Tensor, pass: Pass): Tensor {
    return noGrad(() =>
      scope(() => {
        const stream = this.stream(images, { ...pass, dropPath: null });
        return this.norm?.forward(stream) ?? summed(stream);
      }),
    );
  }

  /** features [B, T, C] -> f32 logits [B, classes] */
  head(features: Tensor, pass: Pass, training: boolean): Tensor {
    return scope(() => {
      const batch = features.shape[0] as number;
      let query = repeatToken(this.queryToken, batch, 1, 'f32');
      for (const block of this.attentiveBlocks) {
        query = cast(block.forward(query, features, pass.dtype), 'f32');
      }
      const pooled = reshape(query, [batch, this.config.embedDim]);
      return this.linear.forward(this.batchNorm.forward(pooled, training));
    });
  }
}
