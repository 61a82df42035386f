import { UserError } from '../errors.js';
import type { CaeConfig } from './cae-config.js';
import { checkDropPath, checkFinite, checkMlpRatio, checkWhole } from './size-checks.js';

/** What a classifier's encoder shares with the pretraining model's. */
type EncoderSizes = Pick<
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

/** Sizes of a vision transformer that classifies; names and defaults are the reference's. */
export interface VitConfig extends EncoderSizes {
  numClasses: number;
  /** fixed sine-cosine positions, or none */
  sinPosEmb: boolean;
  /** a relative position bias of its own in every block */
  relPosBias: boolean;
  /** one relative position bias for all blocks */
  sharedRelPosBias: boolean;
  /** mean of the patch tokens in place of the cls token */
  useMeanPooling: boolean;
  /** factor on the initial weights of a fine-tuning head */
  initScale: number;
}

/**
 * Refuses sizes that make no model.
 * @throws UserError naming the flag
 */
export function checkVitConfig(config: VitConfig): void {
  const wants = (condition: boolean, message: string): void => {
    if (!condition) throw new UserError(message);
  };
  const { imageSize, patchSize, embedDim, numHeads } = config;
  checkWhole({
    input_size: imageSize,
    patch_size: patchSize,
    embed_dim: embedDim,
    depth: config.depth,
    num_heads: numHeads,
    nb_classes: config.numClasses,
  });
  checkDropPath(config.dropPath);
  checkFinite({ layer_scale_init_value: config.layerScaleInitValue, init_scale: config.initScale });
  checkMlpRatio(config.mlpRatio, embedDim);
  wants(
    imageSize % patchSize === 0,
    `--input_size ${imageSize} does not divide by --patch_size ${patchSize}; choose a multiple of it`,
  );
  wants(
    !config.sinPosEmb || embedDim % 4 === 0,
    `--embed_dim ${embedDim} must divide by 4 (sine-cosine positions)`,
  );
  wants(embedDim % numHeads === 0, `--embed_dim ${embedDim} must divide by --num_heads ${numHeads}`);
}
