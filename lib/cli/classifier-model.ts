import type { Classifier } from '../models/classifier.js';
import { type ClassifierTask, createClassifier, type SavedModel } from '../models/saved-classifier.js';
import type { VitConfig } from '../models/vit-config.js';
import type { VitEncoder } from '../models/vit-encoder.js';
import { AdamW } from '../optim/adamw.js';
import { Lars } from '../optim/lars.js';
import { layerDecayGroups, skippedDecay } from '../optim/layer-decay.js';
import type { Optimizer } from '../optim/optimizer.js';
import { Sgd } from '../optim/sgd.js';
import type { ClassifyFlags } from './classify-checks.js';
import { configOf, given, loadInto, type OpenCheckpoint } from './open-checkpoint.js';

export type TrainableClassifier = VitEncoder & Classifier;

/** Sizes of the classifier that the flags describe, over the checkpoint's encoder. */
export function classifierConfigOf(
  task: ClassifierTask,
  flags: ClassifyFlags,
  saved: SavedModel,
  numClasses: number,
): VitConfig {
  const finetune = task === 'finetune';
  return configOf(flags, saved, {
    numClasses,
    dropPath: finetune ? flags.drop_path : 0,
    relPosBias: finetune ? !flags.disable_rel_pos_bias && !flags.shared_rel_pos_bias : flags.rel_pos_bias,
    sharedRelPosBias: flags.shared_rel_pos_bias,
    sinPosEmb: !flags.disable_sin_pos_emb,
    useMeanPooling: finetune ? !flags.use_cls : flags.use_mean_pooling,
    initScale: flags.init_scale,
    ...given({ layerScaleInitValue: flags.layer_scale_init_value }),
  });
}

/** The classifier with the checkpoint's encoder, or with random weights, and a new head; and notes to print about it. */
export function loadedClassifier(
  task: ClassifierTask,
  config: VitConfig,
  flags: Pick<ClassifyFlags, 'seed' | 'random' | 'model_prefix'>,
  checkpoint: OpenCheckpoint,
): { model: TrainableClassifier; notes: string[] } {
  const model = createClassifier(task, config);
  model.initialize(flags.seed);
  if (flags.random || checkpoint.path === undefined) {
    return { model, notes: ['the encoder starts from random weights'] };
  }
  return { model, notes: loadInto(model, checkpoint, flags.model_prefix) };
}

/** The optimizer of the flags over what the model trains, and the least factor on its learning rate. */
export function optimizerOf(
  model: TrainableClassifier,
  flags: ClassifyFlags,
): { optimizer: Optimizer; leastScale: number } {
  const parameters = model.namedParameters();
  const groups = layerDecayGroups(parameters, {
    depth: model.config.depth,
    layerDecay: flags.layer_decay,
    skip: skippedDecay(parameters.keys(), flags.disable_weight_decay_on_rel_pos_bias),
  });
  const leastScale = Math.min(...groups.map(({ lrScale }) => lrScale));
  const { momentum, opt, opt_eps: eps } = flags;
  const [beta1 = 0.9, beta2 = 0.999] = flags.opt_betas;
  if (opt === 'adamw') return { optimizer: new AdamW(groups, { betas: [beta1, beta2], eps }), leastScale };
  const optimizer =
    opt === 'lars' ? new Lars(groups, { momentum }) : new Sgd(groups, { momentum, nesterov: true });
  return { optimizer, leastScale };
}
