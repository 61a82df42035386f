import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { isObject } from '../checkpoint/run-description.js';

/** The reference's arguments by what a run's description calls them. */
const ofModel = {
  imagenet_default_mean_and_std: 'imagenetNormalization',
  num_mask_patches: 'maskedPatches',
  second_input_size: 'tokenizerSize',
  discrete_vae_type: 'tokenizerType',
} as const;
const ofSizes = {
  drop_path: 'dropPath',
  layer_scale_init_value: 'layerScaleInitValue',
  decoder_layer_scale_init_value: 'decoderLayerScaleInitValue',
  align_loss_weight: 'alignLossWeight',
} as const;

/**
 * What a run's description of its model says that tensors do not, as the reference's arguments say it, and its numbers
 * of heads; what it does not say is absent.
 */
export function describedArguments(model: JsonObject | undefined): {
  args: Map<string, string | number | boolean>;
  numHeads: number | undefined;
  decoderNumHeads: number | undefined;
} {
  const args = new Map<string, string | number | boolean>();
  const sizes = model?.['config'];
  const config = isObject(sizes) ? sizes : {};
  for (const [from, table] of [
    [model ?? {}, ofModel],
    [config, ofSizes],
  ] as const) {
    for (const [name, key] of Object.entries(table)) {
      const value = from[key];
      if (['string', 'number', 'boolean'].includes(typeof value)) args.set(name, value as string);
    }
  }
  const heads = (key: string): number | undefined => {
    const value = config[key];
    return typeof value === 'number' ? value : undefined;
  };
  return { args, numHeads: heads('numHeads'), decoderNumHeads: heads('decoderNumHeads') };
}
