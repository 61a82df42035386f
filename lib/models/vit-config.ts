import { checkEncoder, checkFinite, checkWhole, type EncoderSizes } from './size-checks.js';

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
  checkEncoder(config, config.sinPosEmb);
  checkWhole({ nb_classes: config.numClasses });
  checkFinite({ init_scale: config.initScale });
}
