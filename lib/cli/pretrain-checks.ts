import type { CaeConfig } from '../models/cae-config.js';
import { modelConfig } from '../models/registry.js';
import { type FlagValues, required, wants } from './flags.js';
import type { pretrainFlags } from './pretrain-flags.js';
import { checkReferenceRun } from './run-flags.js';

/** Values of pretraining's flags. */
export type PretrainFlags = FlagValues<typeof pretrainFlags>;

/**
 * Refuses what this build does not do, rather than ignoring it.
 * @throws UserError naming the flag
 */
export function checkSupported(flags: PretrainFlags): void {
  wants(flags.model_type === 'cae', '--model_type caev2 is not part of this build; use cae');
  wants(
    flags.discrete_vae_type === 'dall-e' || flags.discrete_vae_type === 'customized',
    `--discrete_vae_type ${flags.discrete_vae_type} is not part of this build; use dall-e or customized`,
  );
  checkReferenceRun(flags);
  wants(flags.momentum === 0.9, `--momentum ${flags.momentum}: adamw has none; use --opt_betas`);
  wants(flags.num_out_dim === 512, `--num_out_dim ${flags.num_out_dim} is for caev2, which this build lacks`);
  wants(
    flags.latent_alignment_loss_weight === 0,
    `--latent_alignment_loss_weight ${flags.latent_alignment_loss_weight} is for caev2; use --align_loss_weight`,
  );
  required('data_path', flags.data_path);
  required('output_dir', flags.output_dir);
  required('discrete_vae_weight_path', flags.discrete_vae_weight_path);
}

/** Sizes of the model that the flags describe. @throws UserError for sizes that make no model */
export function configOfFlags(flags: PretrainFlags): CaeConfig {
  const overrides: Record<keyof CaeConfig, number | undefined> = {
    imageSize: flags.input_size,
    patchSize: flags.patch_size,
    embedDim: flags.embed_dim,
    depth: flags.depth,
    numHeads: flags.num_heads,
    mlpRatio: flags.mlp_ratio,
    layerScaleInitValue: flags.layer_scale_init_value,
    dropPath: flags.drop_path,
    regressorDepth: flags.regressor_depth,
    decoderDepth: flags.decoder_depth,
    decoderEmbedDim: flags.decoder_embed_dim,
    decoderNumHeads: flags.decoder_num_heads,
    decoderNumClasses: flags.decoder_num_classes,
    decoderLayerScaleInitValue: flags.decoder_layer_scale_init_value,
    alignLossWeight: flags.align_loss_weight,
  };
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  return modelConfig(flags.model, Object.fromEntries(given));
}
