import type { Shaped } from '../checkpoint/load-report.js';
import type { Weights } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';
import { type CaeConfig, checkConfig } from './cae-config.js';
import { modelConfig, modelNames } from './registry.js';
import { type PixelNormalization, savedModelOf } from './saved-classifier.js';

/** What a checkpoint's tensors do not show. */
export interface ConfigHints {
  /** A published model's name, for its numbers of heads. */
  readonly model?: string | undefined;
  readonly numHeads?: number | undefined;
  readonly decoderNumHeads?: number | undefined;
  /** The run's arguments, by the reference's names. */
  readonly args: ReadonlyMap<string, unknown>;
}

/**
 * The sizes of a Context AutoEncoder, read off its tensors' shapes. Numbers of heads leave no trace there: they are
 * taken from the hints, the model that `args` names, or the published model of that width.
 *
 * @param source name of the file in messages
 * @throws UserError naming what is missing
 */
export function caeConfigOf(
  tensors: ReadonlyMap<string, Shaped>,
  hints: ConfigHints,
  source: string,
): CaeConfig {
  const shapeOf = (name: string): readonly number[] => {
    const shape = tensors.get(name)?.shape;
    if (shape === undefined) {
      throw new UserError(
        `${source}: lacks ${name}; only a whole Context AutoEncoder makes a run's checkpoint`,
      );
    }
    return shape;
  };
  const blocksOf = (prefix: string): number => {
    const pattern = new RegExp(`^${prefix.replaceAll('.', '\\.')}\\.(\\d+)\\.`);
    const numbers = [...tensors.keys()].map((name) => Number(pattern.exec(name)?.[1] ?? -1));
    return 1 + Math.max(-1, ...numbers);
  };
  const arg = (name: string, fallback: number): number => {
    const value = hints.args.get(name);
    return typeof value === 'number' ? value : fallback;
  };
  const [embedDim = 0, , patchSize = 0] = shapeOf('encoder.patch_embed.proj.weight');
  const decoderEmbedDim = shapeOf('mask_token').at(-1) as number;
  const grid = Math.sqrt((shapeOf('encoder.pos_embed')[1] as number) - 1);
  const scale = (name: string, flag: string): number => (tensors.has(name) ? arg(flag, 0.1) : 0);
  const heads = headsOf(embedDim, decoderEmbedDim, hints, source);
  const config: CaeConfig = {
    imageSize: grid * patchSize,
    patchSize,
    embedDim,
    depth: blocksOf('encoder.blocks'),
    mlpRatio: (shapeOf('encoder.blocks.0.mlp.fc1.weight')[0] as number) / embedDim,
    layerScaleInitValue: scale('encoder.blocks.0.gamma_1', 'layer_scale_init_value'),
    dropPath: arg('drop_path', 0),
    regressorDepth: blocksOf('regresser.regressor_blocks'),
    decoderDepth: blocksOf('decoder.decoder_blocks'),
    decoderEmbedDim,
    decoderNumClasses: shapeOf('decoder.head.weight')[0] as number,
    decoderLayerScaleInitValue: scale('decoder.decoder_blocks.0.gamma_1', 'decoder_layer_scale_init_value'),
    alignLossWeight: arg('align_loss_weight', 2),
    ...heads,
  };
  checkConfig(config);
  return config;
}

function headsOf(
  embedDim: number,
  decoderEmbedDim: number,
  hints: ConfigHints,
  source: string,
): Pick<CaeConfig, 'numHeads' | 'decoderNumHeads'> {
  const published = modelNames().map((name) => modelConfig(name));
  const named = hints.model ?? modelNames().find((name) => name === hints.args.get('model'));
  const own =
    named === undefined ? published.find((config) => config.embedDim === embedDim) : modelConfig(named);
  const numHeads = hints.numHeads ?? (own?.embedDim === embedDim ? own.numHeads : undefined);
  const decoderNumHeads =
    hints.decoderNumHeads ??
    (own?.decoderEmbedDim === decoderEmbedDim
      ? own.decoderNumHeads
      : published.find((config) => config.decoderEmbedDim === decoderEmbedDim)?.decoderNumHeads);
  for (const [flag, value, width] of [
    ['--num_heads', numHeads, embedDim],
    ['--decoder_num_heads', decoderNumHeads, decoderEmbedDim],
  ] as const) {
    if (value === undefined) {
      throw new UserError(
        `${source}: no published model is ${width} wide, and its tensors do not show the number of heads; give ${flag}`,
      );
    }
  }
  return { numHeads: numHeads as number, decoderNumHeads: decoderNumHeads as number };
}

/** What a checkpoint says of its encoder beside the weights; what it does not say is absent. */
export interface EncoderFacts {
  readonly numHeads?: number;
  readonly imageSize?: number;
  readonly normalization?: PixelNormalization;
  readonly useMeanPooling?: boolean;
}

/**
 * Facts out of a run's description of its model, wherever a file holds it, and out of the reference's args.
 * @throws UserError for a description that makes no model
 */
export function encoderFacts(weights: Weights): EncoderFacts {
  const { config = {}, name, normalization } = savedModelOf(weights);
  const { imageSize, useMeanPooling } = config;
  const known = modelNames().find((one) => one.replace(/_8k_vocab$/, '') === name);
  const numHeads = config.numHeads ?? (known === undefined ? undefined : modelConfig(known).numHeads);
  return {
    ...(numHeads === undefined ? {} : { numHeads }),
    ...(imageSize === undefined ? {} : { imageSize }),
    ...(normalization === undefined ? {} : { normalization }),
    ...(useMeanPooling === undefined ? {} : { useMeanPooling }),
  };
}

/** The number of heads of the published model of that width, or undefined. */
export function publishedHeads(width: number): number | undefined {
  return modelNames()
    .map((name) => modelConfig(name))
    .find((config) => config.embedDim === width)?.numHeads;
}
