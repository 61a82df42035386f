import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { referenceArguments } from '../checkpoint/reference-arguments.js';
import { isObject, modelDescription } from '../checkpoint/run-description.js';
import type { Weights } from '../checkpoint/weights-file.js';
import { AttentiveProbe } from './attentive-probe.js';
import type { Classifier } from './classifier.js';
import { checkDescription } from './described-model.js';
import { LinearProbe } from './linear-probe.js';
import { VisionTransformer } from './vision-transformer.js';
import type { VitConfig } from './vit-config.js';
import type { VitEncoder } from './vit-encoder.js';

/** The classifiers that can be trained, by their commands. */
export const classifierTasks = ['linear', 'attentive', 'finetune'] as const;
export type ClassifierTask = (typeof classifierTasks)[number];

/** How pixels were normalised: mean and deviation 0.5, or ImageNet's. */
export type PixelNormalization = 'half' | 'imagenet';

/** What a checkpoint says of its model beside the weights; what it does not say is absent. */
export interface SavedModel {
  /** Sizes of the encoder. */
  readonly config?: Partial<VitConfig>;
  /** A published model's name, in a checkpoint of the reference. */
  readonly name?: string;
  readonly normalization?: PixelNormalization;
  /** In a classifier's checkpoint: what trained it, its classes, and how it saw pictures. */
  readonly task?: ClassifierTask;
  readonly classes?: readonly string[];
  readonly cropPct?: number;
}

/** Sizes that pretraining and classifiers share. */
const shared = [
  'imageSize',
  'patchSize',
  'embedDim',
  'depth',
  'numHeads',
  'mlpRatio',
  'layerScaleInitValue',
] as const satisfies readonly (keyof VitConfig)[];

/**
 * What an open checkpoint says of its model: a run's description of it, or the arguments of a run of the reference.
 * @throws UserError for a description that makes no model, naming the file and the value
 */
export function savedModelOf(weights: Weights): SavedModel {
  const model = modelDescription(weights);
  if (model === undefined) return ofArguments(referenceArguments(weights.tree), weights.tensors);
  checkDescription(model, weights.tensors, weights.source);
  return ofRun(model);
}

/** A model's name without what pretraining's adds for its vocabulary. */
function classifierName(name: string): string {
  return name.replace(/_8k_vocab$/, '');
}

function ofArguments(args: ReadonlyMap<string, unknown>, tensors: Shapes): SavedModel {
  const [name, imagenet, size] = ['model', 'imagenet_default_mean_and_std', 'input_size'].map((key) =>
    args.get(key),
  );
  // The reference's linear probe normalises by ImageNet's numbers whatever that argument is.
  const decided = typeof imagenet === 'boolean' && !isLinearProbe(tensors);
  const known = typeof size === 'number' && Number.isInteger(size) && size >= 1 && size <= 4096;
  return {
    ...(typeof name === 'string' ? { name: classifierName(name) } : {}),
    ...(decided ? { normalization: imagenet ? 'imagenet' : 'half' } : {}),
    ...(known ? { config: { imageSize: size } } : {}),
  };
}

function isLinearProbe(tensors: Shapes): boolean {
  return [...tensors.keys()].some((name) => /^(module\.)?head\.1\.weight$/.test(name));
}

/**
 * How pictures are normalised where nothing tells: by mean and deviation 0.5, as the reference's tools do without their
 * flag for it; by ImageNet's for what its linear probe trained, which has no such flag.
 */
export function assumedNormalization(task: ClassifierTask | undefined): PixelNormalization {
  return task === 'linear' ? 'imagenet' : 'half';
}

function ofRun(model: JsonObject): SavedModel {
  const config = model['config'];
  if (!isObject(config)) return {};
  if (model['kind'] === 'classifier') {
    const { task, classes, cropPct, normalization } = model as Partial<SavedModel>;
    return {
      config: config as Partial<VitConfig>,
      normalization: normalization ?? 'half',
      ...(task === undefined ? {} : { task }),
      ...(classes === undefined ? {} : { classes }),
      ...(cropPct === undefined ? {} : { cropPct }),
    };
  }
  if (model['kind'] !== 'cae') return {};
  return {
    config: Object.fromEntries(shared.map((key) => [key, config[key]])),
    normalization: model['imagenetNormalization'] === true ? 'imagenet' : 'half',
  };
}

/** A classifier of a task, its weights not yet set. */
export function createClassifier(
  task: ClassifierTask,
  config: VitConfig,
): VitEncoder & Classifier & { initialize(seed: number): void } {
  if (task === 'linear') return new LinearProbe(config);
  return task === 'attentive' ? new AttentiveProbe(config) : new VisionTransformer(config);
}

/** Shapes of tensors by name. */
type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** Which task's classifier the tensors are, and what their names and shapes say of it; undefined where there is no head. */
export function classifierOfTensors(
  tensors: Shapes,
): { task: ClassifierTask; config: Partial<VitConfig> } | undefined {
  const head = tensors.get('head.1.weight') ?? tensors.get('head.weight');
  if (head === undefined) return undefined;
  const task = tensors.has('head.1.weight')
    ? 'linear'
    : tensors.has('query_token')
      ? 'attentive'
      : 'finetune';
  const useMeanPooling = task === 'finetune' && tensors.has('fc_norm.weight');
  return {
    task,
    config: {
      numClasses: head.shape[0] as number,
      relPosBias: tensors.has('blocks.0.attn.relative_position_bias_table'),
      sinPosEmb: tensors.has('pos_embed'),
      sharedRelPosBias: tensors.has('rel_pos_bias.relative_position_bias_table'),
      ...(task === 'finetune' ? { useMeanPooling } : {}),
    },
  };
}
