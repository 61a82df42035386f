import { UserError } from '../errors.js';
import type { CaeConfig } from './cae-config.js';

/** What a classifier's encoder shares with the pretraining model's. */
export type EncoderSizes = Pick<
  CaeConfig,
  | 'imageSize'
  | 'patchSize'
  | 'embedDim'
  | 'depth'
  | 'numHeads'
  | 'mlpRatio'
  | 'layerScaleInitValue'
  | 'dropPath'
>;

/** @throws UserError with the message, unless the condition holds */
export function wants(condition: boolean, message: string): void {
  if (!condition) throw new UserError(message);
}

/**
 * Refuses sizes that make no encoder.
 * @param sinPosEmb whether it has sine-cosine positions
 * @throws UserError naming the flag
 */
export function checkEncoder(sizes: EncoderSizes, sinPosEmb: boolean): void {
  const { imageSize, patchSize, embedDim, depth, numHeads } = sizes;
  checkWhole({
    input_size: imageSize,
    patch_size: patchSize,
    embed_dim: embedDim,
    depth,
    num_heads: numHeads,
  });
  checkDropPath(sizes.dropPath);
  checkFinite({ layer_scale_init_value: sizes.layerScaleInitValue });
  checkMlpRatio(sizes.mlpRatio, embedDim);
  wants(
    imageSize % patchSize === 0,
    `--input_size ${imageSize} does not divide by --patch_size ${patchSize}; choose a multiple of it`,
  );
  wants(!sinPosEmb || embedDim % 4 === 0, `--embed_dim ${embedDim} must divide by 4 (sine-cosine positions)`);
  wants(embedDim % numHeads === 0, `--embed_dim ${embedDim} must divide by --num_heads ${numHeads}`);
}

/** @throws UserError naming the flag of the first value that is no whole number of at least `least` */
export function checkWhole(flags: Readonly<Record<string, number>>, least = 1): void {
  for (const [flag, value] of Object.entries(flags)) {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(`--${flag} ${value} must be a whole number of at least ${least}`);
    }
  }
}

/** @throws UserError naming the flag of the first value that is not finite */
export function checkFinite(flags: Readonly<Record<string, number>>): void {
  for (const [flag, value] of Object.entries(flags)) {
    if (!Number.isFinite(value)) throw new UserError(`--${flag} ${value} must be a finite number`);
  }
}

/** @throws UserError for a rate of stochastic depth that is no share below 1 */
function checkDropPath(rate: number): void {
  wants(rate >= 0 && rate < 1, `--drop_path ${rate} must be at least 0 and below 1`);
}

/** @throws UserError for a ratio that leaves an MLP of this width without a hidden feature */
export function checkMlpRatio(ratio: number, width: number): void {
  wants(
    Number.isFinite(ratio) && Math.trunc(width * ratio) >= 1,
    `--mlp_ratio ${ratio} must be a number above 0 that leaves hidden features`,
  );
}
