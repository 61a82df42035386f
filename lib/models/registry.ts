import { UserError } from '../errors.js';
import { Cae } from './cae.js';
import { type CaeConfig, checkConfig } from './cae-config.js';

const common = {
  imageSize: 224,
  patchSize: 16,
  mlpRatio: 4,
  layerScaleInitValue: 0.1,
  dropPath: 0,
  regressorDepth: 4,
  decoderDepth: 4,
  decoderEmbedDim: 768,
  decoderNumHeads: 12,
  decoderNumClasses: 8192,
  decoderLayerScaleInitValue: 0.1,
  alignLossWeight: 2,
} satisfies Partial<CaeConfig>;

/** The published models; large decodes at its own width. */
const models: Record<string, CaeConfig> = {
  cae_tiny_patch16_224_8k_vocab: { ...common, embedDim: 192, depth: 12, numHeads: 12 },
  cae_small_patch16_224_8k_vocab: { ...common, embedDim: 384, depth: 12, numHeads: 12 },
  cae_base_patch16_224_8k_vocab: { ...common, embedDim: 768, depth: 12, numHeads: 12 },
  cae_large_patch16_224_8k_vocab: {
    ...common,
    embedDim: 1024,
    depth: 24,
    numHeads: 16,
    decoderEmbedDim: 1024,
    decoderNumHeads: 16,
  },
};

/** Names that `--model` takes. */
export function modelNames(): string[] {
  return Object.keys(models);
}

/**
 * A published model's sizes, with changes.
 * @throws UserError for an unknown name or sizes that make no model
 */
export function modelConfig(name: string, overrides: Partial<CaeConfig> = {}): CaeConfig {
  const base = Object.hasOwn(models, name) ? models[name] : undefined;
  if (base === undefined) {
    throw new UserError(`--model ${name} is not known; choose one of ${modelNames().join(', ')}`);
  }
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const config = { ...base, ...given };
  checkConfig(config);
  return config;
}

/** A published model, its weights not yet set: `initialize` or `loadStateDict` it. */
export function createModel(name: string, overrides: Partial<CaeConfig> = {}): Cae {
  return new Cae(modelConfig(name, overrides));
}
