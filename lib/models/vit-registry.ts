import { UserError } from '../errors.js';
import { checkVitConfig, type VitConfig } from './vit-config.js';

const common = {
  imageSize: 224,
  patchSize: 16,
  mlpRatio: 4,
  layerScaleInitValue: 0.1,
  dropPath: 0,
  numClasses: 1000,
  sinPosEmb: true,
  relPosBias: true,
  sharedRelPosBias: false,
  useMeanPooling: true,
  initScale: 0.001,
} satisfies Partial<VitConfig>;

const sizes = {
  tiny: { embedDim: 192, depth: 12, numHeads: 12 },
  small: { embedDim: 384, depth: 12, numHeads: 12 },
  base: { embedDim: 768, depth: 12, numHeads: 12 },
  large: { embedDim: 1024, depth: 24, numHeads: 16 },
} as const;

/** The published classifiers. */
const models: Readonly<Record<string, VitConfig>> = Object.fromEntries(
  Object.entries(sizes).flatMap(([size, numbers]) =>
    [224, 384, ...(size === 'large' ? [512] : [])].map((imageSize) => [
      `cae_${size}_patch16_${imageSize}`,
      { ...common, ...numbers, imageSize },
    ]),
  ),
);

/** Names that `--model` takes where a classifier is meant. */
export function classifierNames(): string[] {
  return Object.keys(models);
}

/**
 * A published classifier's sizes, with changes, as fine-tuning builds it: relative position biases, mean pooling.
 * @throws UserError for an unknown name or sizes that make no model
 */
export function classifierConfig(name: string, overrides: Partial<VitConfig> = {}): VitConfig {
  const base = Object.hasOwn(models, name) ? models[name] : undefined;
  if (base === undefined) {
    throw new UserError(`--model ${name} is not known; choose one of ${classifierNames().join(', ')}`);
  }
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const config = { ...base, ...given };
  checkVitConfig(config);
  return config;
}

/** As classifierConfig, for a probe: the encoder as it was pretrained, without position biases; the cls token. */
export function probeConfig(name: string, overrides: Partial<VitConfig> = {}): VitConfig {
  return classifierConfig(name, { relPosBias: false, useMeanPooling: false, ...overrides });
}
