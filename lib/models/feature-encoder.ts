import { UserError } from '../errors.js';
import type { Pass } from '../nn/block.js';
import { reshape } from '../tensor/ops/pointwise.js';
import { summed } from '../tensor/ops/residual-norm.js';
import { meanTokens, sliceTokens } from '../tensor/ops/tokens.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { VisionTransformer } from './vision-transformer.js';
import type { VitConfig } from './vit-config.js';
import { VitEncoder } from './vit-encoder.js';
import { initializeEncoder, WeightDraws } from './vit-init.js';

/** What becomes of a picture's tokens: the cls token, the mean of the patch tokens, or all of them. */
export const pools = ['cls', 'mean', 'tokens'] as const;
export type Pool = (typeof pools)[number];

/** A pretrained encoder by itself, with its last norm. */
export class FeatureEncoder extends VitEncoder {
  constructor(config: VitConfig) {
    super(config, true);
  }

  /** Draws all weights, a function of the seed. */
  initialize(seed: number): void {
    initializeEncoder(this, new WeightDraws(seed));
  }
}

/**
 * Features of pictures, without gradient. Behind the last block they are normalised as the model does it before its
 * head; those of an earlier layer are the residual stream as it is.
 * @param images f32 [B, 3, S, S], normalised
 * @param layer blocks to run
 * @returns f32 [B, C], or [B, 1+N, C] for all tokens
 * @throws UserError for a number of layers that the model has not, and an unknown pool
 */
export function encoderFeatures(
  model: VitEncoder,
  images: Tensor,
  pass: Pass,
  pool: Pool,
  layer: number = model.blocks.length,
): Tensor {
  const depth = model.blocks.length;
  if (!Number.isInteger(layer) || layer < 0 || layer > depth) {
    throw new UserError(`layer ${layer}: the encoder has ${depth} blocks; give 0 to ${depth}`);
  }
  if (!pools.includes(pool)) throw new UserError(`pool ${pool} is not known; choose ${pools.join(', ')}`);
  return noGrad(() =>
    scope(() => {
      const still = { ...pass, dropPath: null };
      const last = layer === depth;
      const stream = model.stream(images, still, layer);
      const norm = last ? model.norm : null;
      // A classifier by mean pooling normalises behind the mean.
      const behind = last && model instanceof VisionTransformer ? model.fcNorm : null;
      if (pool === 'mean') {
        const mean = meanTokens(norm?.forward(stream) ?? summed(stream), 1);
        return behind?.forward(mean) ?? mean;
      }
      if (pool === 'tokens') return norm?.forward(stream) ?? summed(stream);
      const cls = sliceTokens(summed(stream), 0, 1);
      return reshape(norm?.forward(cls) ?? cls, [images.shape[0] as number, model.config.embedDim]);
    }),
  );
}
