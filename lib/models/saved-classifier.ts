import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { runStateKey } from '../checkpoint/export-checkpoint.js';
import { PickledObject } from '../checkpoint/pickle-values.js';
import type { Weights } from '../checkpoint/weights-file.js';
import { AttentiveProbe } from './attentive-probe.js';
import type { Classifier } from './classifier.js';
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

/** What an open checkpoint says of its model. */
export function savedModelOf(weights: Weights): SavedModel {
  const { tree, run } = weights;
  const model = run?.state['model'] ?? embedded(tree)?.['model'];
  if (isObject(model)) return ofRun(model);
  if (!(tree instanceof Map)) return {};
  const args = tree.get('args');
  const named =
    args instanceof PickledObject
      ? args.attribute('model')
      : args instanceof Map
        ? args.get('model')
        : undefined;
  return typeof named === 'string' ? { name: named.replace(/_8k_vocab$/, '') } : {};
}

/** The state of a run that was written into a PyTorch file. */
function embedded(tree: Weights['tree']): JsonObject | undefined {
  const text = tree instanceof Map ? tree.get(runStateKey) : undefined;
  if (typeof text !== 'string') return undefined;
  try {
    const { state } = JSON.parse(text) as { state?: JsonObject };
    return state;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function ofRun(model: JsonObject): SavedModel {
  const config = model['config'];
  if (!isObject(config)) return {};
  if (model['kind'] === 'classifier') {
    return {
      config: config as unknown as VitConfig,
      normalization: model['normalization'] === 'imagenet' ? 'imagenet' : 'half',
      task: model['task'] as ClassifierTask,
      classes: model['classes'] as readonly string[],
      cropPct: model['cropPct'] as number,
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
      sharedRelPosBias: tensors.has('rel_pos_bias.relative_position_bias_table'),
      ...(task === 'finetune' ? { useMeanPooling } : {}),
    },
  };
}
