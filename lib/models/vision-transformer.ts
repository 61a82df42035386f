import type { Pass } from '../nn/block.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Linear } from '../nn/linear.js';
import { reshape } from '../tensor/ops/pointwise.js';
import { meanTokens, sliceTokens } from '../tensor/ops/tokens.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Classifier } from './classifier.js';
import type { VitConfig } from './vit-config.js';
import { VitEncoder } from './vit-encoder.js';
import { initializeEncoder, WeightDraws } from './vit-init.js';

/**
 * The classifier that fine-tuning trains (reference.md, section 4): the mean of the patch tokens through `fc_norm`, or
 * the cls token through `norm`, then a linear `head`, which computes in f32.
 */
export class VisionTransformer extends VitEncoder implements Classifier {
  readonly fcNorm: LayerNorm | null;
  readonly head: Linear;

  constructor(config: VitConfig) {
    super(config, !config.useMeanPooling);
    this.fcNorm = config.useMeanPooling ? this.child('fc_norm', new LayerNorm(config.embedDim)) : null;
    this.head = this.child('head', new Linear(config.embedDim, config.numClasses));
  }

  /** Draws all weights, a function of the seed, as the reference does: the head's are scaled by `initScale`. */
  initialize(seed: number): void {
    const draws = new WeightDraws(seed);
    initializeEncoder(this, draws);
    draws.linear(this.head, 0.02 * this.config.initScale);
    if (this.fcNorm !== null) draws.layerNorm(this.fcNorm);
  }

  forward(images: Tensor, pass: Pass, training: boolean): Tensor {
    return scope(() =>
      this.head.forward(this.features(images, training ? pass : { ...pass, dropPath: null })),
    );
  }

  /** What the head sees: f32 [B, C]. */
  features(images: Tensor, pass: Pass): Tensor {
    return scope(() => {
      const tokens = this.tokens(images, pass);
      if (this.fcNorm !== null) return this.fcNorm.forward(meanTokens(tokens, 1));
      const cls = sliceTokens(tokens, 0, 1);
      // Each token is normalised by itself, so the others need not be.
      const normal = this.norm?.forward(cls) ?? cls;
      return reshape(normal, [images.shape[0] as number, this.config.embedDim]);
    });
  }
}
