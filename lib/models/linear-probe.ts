import { BatchNorm } from '../nn/batch-norm.js';
import type { Pass } from '../nn/block.js';
import { Linear } from '../nn/linear.js';
import { reshape } from '../tensor/ops/pointwise.js';
import { summed } from '../tensor/ops/residual-norm.js';
import { meanTokens, sliceTokens } from '../tensor/ops/tokens.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Probe } from './classifier.js';
import type { VitConfig } from './vit-config.js';
import { VitEncoder } from './vit-encoder.js';
import { initializeEncoder, WeightDraws } from './vit-init.js';

/** eps of the batch normalisation before the linear layer. */
const eps = 1e-6;

/**
 * A linear classifier over a frozen encoder (reference.md, section 4): its normalised cls token, or the mean of its
 * normalised patch tokens, through batch normalisation without gain and shift. The head computes in f32. Its state has
 * the reference's names: `head.0.*` the normalisation, `head.1.*` the linear layer.
 */
export class LinearProbe extends VitEncoder implements Probe {
  readonly batchNorm: BatchNorm;
  readonly linear: Linear;

  constructor(config: VitConfig) {
    super(config, true);
    for (const parameter of this.namedParameters().values()) parameter.requiresGrad = false;
    this.batchNorm = this.child('head.0', new BatchNorm(config.embedDim, eps));
    this.linear = this.child('head.1', new Linear(config.embedDim, config.numClasses));
  }

  /** Draws all weights, a function of the seed; the head's with deviation 0.01. */
  initialize(seed: number): void {
    const draws = new WeightDraws(seed);
    initializeEncoder(this, draws);
    draws.linear(this.linear, 0.01);
    this.batchNorm.reset();
  }

  forward(images: Tensor, pass: Pass, training: boolean): Tensor {
    return scope(() => this.head(this.features(images, pass), pass, training));
  }

  /** f32 [B, C], without gradient and without stochastic depth */
  features(images: Tensor, pass: Pass): Tensor {
    return noGrad(() =>
      scope(() => {
        const stream = this.stream(images, { ...pass, dropPath: null });
        if (this.config.useMeanPooling) return meanTokens(this.norm?.forward(stream) ?? summed(stream), 1);
        const cls = sliceTokens(summed(stream), 0, 1);
        const normal = this.norm?.forward(cls) ?? cls;
        return reshape(normal, [images.shape[0] as number, this.config.embedDim]);
      }),
    );
  }

  /** features [B, C] -> f32 logits [B, classes] */
  head(features: Tensor, _pass: Pass, training: boolean): Tensor {
    return scope(() => this.linear.forward(this.batchNorm.forward(features, training)));
  }
}
