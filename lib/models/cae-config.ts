import { UserError } from '../errors.js';
import { checkDropPath, checkFinite, checkMlpRatio, checkWhole } from './size-checks.js';

/** Sizes and rates of a Context AutoEncoder; names and defaults are the reference's. */
export interface CaeConfig {
  /** picture side in pixels */
  imageSize: number;
  patchSize: number;
  embedDim: number;
  depth: number;
  numHeads: number;
  mlpRatio: number;
  /** initial layer scale of the encoder; 0 for none */
  layerScaleInitValue: number;
  /** rate of stochastic depth of the last block of a stack */
  dropPath: number;
  regressorDepth: number;
  decoderDepth: number;
  decoderEmbedDim: number;
  decoderNumHeads: number;
  /** tokens in the tokenizer's vocabulary */
  decoderNumClasses: number;
  decoderLayerScaleInitValue: number;
  /** weight of the alignment loss */
  alignLossWeight: number;
}

/** Patches along a side. */
export function gridSize(config: Pick<CaeConfig, 'imageSize' | 'patchSize'>): number {
  return config.imageSize / config.patchSize;
}

/**
 * Refuses sizes that make no model.
 * @throws UserError naming the flag
 */
export function checkConfig(config: CaeConfig): void {
  const wants = (condition: boolean, message: string): void => {
    if (!condition) throw new UserError(message);
  };
  const { imageSize, patchSize, embedDim, numHeads, decoderEmbedDim, decoderNumHeads } = config;
  checkWhole({
    input_size: imageSize,
    patch_size: patchSize,
    embed_dim: embedDim,
    depth: config.depth,
    num_heads: numHeads,
    decoder_embed_dim: decoderEmbedDim,
    decoder_num_heads: decoderNumHeads,
    regressor_depth: config.regressorDepth,
    decoder_num_classes: config.decoderNumClasses,
  });
  checkWhole({ decoder_depth: config.decoderDepth }, 0);
  checkDropPath(config.dropPath);
  checkFinite({
    layer_scale_init_value: config.layerScaleInitValue,
    decoder_layer_scale_init_value: config.decoderLayerScaleInitValue,
    align_loss_weight: config.alignLossWeight,
  });
  checkMlpRatio(config.mlpRatio, embedDim, decoderEmbedDim);
  wants(
    imageSize % patchSize === 0,
    `--input_size ${imageSize} does not divide by --patch_size ${patchSize}; choose a multiple of it`,
  );
  wants(embedDim % 4 === 0, `--embed_dim ${embedDim} must divide by 4 (sine-cosine positions)`);
  wants(decoderEmbedDim % 4 === 0, `--decoder_embed_dim ${decoderEmbedDim} must divide by 4`);
  wants(embedDim % numHeads === 0, `--embed_dim ${embedDim} must divide by --num_heads ${numHeads}`);
  wants(
    decoderEmbedDim % decoderNumHeads === 0,
    `--decoder_embed_dim ${decoderEmbedDim} must divide by --decoder_num_heads ${decoderNumHeads}`,
  );
}
