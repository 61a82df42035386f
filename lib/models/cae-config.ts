import { checkEncoder, checkFinite, checkMlpRatio, checkWhole, wants } from './size-checks.js';

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
  const { decoderEmbedDim, decoderNumHeads } = config;
  checkEncoder(config, true);
  checkWhole({
    decoder_embed_dim: decoderEmbedDim,
    decoder_num_heads: decoderNumHeads,
    regressor_depth: config.regressorDepth,
    decoder_num_classes: config.decoderNumClasses,
  });
  checkWhole({ decoder_depth: config.decoderDepth }, 0);
  checkFinite({
    decoder_layer_scale_init_value: config.decoderLayerScaleInitValue,
    align_loss_weight: config.alignLossWeight,
  });
  checkMlpRatio(config.mlpRatio, decoderEmbedDim);
  wants(decoderEmbedDim % 4 === 0, `--decoder_embed_dim ${decoderEmbedDim} must divide by 4`);
  wants(
    decoderEmbedDim % decoderNumHeads === 0,
    `--decoder_embed_dim ${decoderEmbedDim} must divide by --decoder_num_heads ${decoderNumHeads}`,
  );
}
