import type { Command } from 'commander';
import { engineFlags, trainingFlags } from './classify-flags.js';
import {
  addFlags,
  choiceFlag,
  type FlagTable,
  flagValues,
  intFlag,
  numberFlag,
  usageError,
} from './flags.js';
import { trainClassifier } from './train-classifier.js';

const engine = engineFlags({
  batchSize: 512,
  epochs: 90,
  saveCkptFreq: 50,
  opt: 'lars',
  lr: 0.1,
  layerDecay: 1,
  weightDecay: 0,
  warmupEpochs: 10,
  dropPath: 0,
  colorJitter: 0,
  aa: 'none',
  smoothing: 0,
  reprob: 0,
  mixup: 0,
  cutmix: 0,
});

const { batch_size, epochs, update_freq, save_ckpt_freq, save_ckpt, no_save_ckpt } = engine;
const { opt, opt_eps, opt_betas, momentum, clip_grad, weight_decay, weight_decay_end } = engine;
const { smoothing, init_scale, model_prefix, cache_features, warmup_epochs, no_cuda_graph } = engine;

/** The reference's run_linear, with the defaults of its published recipe. */
export const linearFlags = {
  ...trainingFlags,
  ...{ batch_size, epochs, update_freq, save_ckpt_freq, save_ckpt, no_save_ckpt },
  ...{ opt, opt_eps, opt_betas, momentum, clip_grad, weight_decay, weight_decay_end },
  ...{ smoothing, init_scale, model_prefix, cache_features, warmup_epochs, no_cuda_graph },
  accum_iter: intFlag(undefined, "the reference's name of --update_freq", { min: 1 }),
  save_freq: intFlag(undefined, "the reference's name of --save_ckpt_freq", { min: 1 }),
  lr: numberFlag(undefined, 'highest learning rate; default: by --blr', { above: 0 }),
  blr: numberFlag(0.1, 'learning rate for 256 pictures a step', { above: 0 }),
  min_lr: numberFlag(0, 'learning rate at the end', { min: 0 }),
  drop_path: numberFlag(0, 'the frozen encoder has no stochastic depth: 0', { min: 0, max: 0.99 }),
  linear_type: choiceFlag(['standard'], 'standard', 'kind of probe; cae-native attentive is the other'),
} as const;

/** The values of a table's flags where nothing is given. */
function fallbacks<F extends FlagTable>(table: F) {
  return flagValues(table, {});
}

/** Adds the command's flags and action. */
export function register(command: Command): void {
  addFlags(command, linearFlags).action(async (parsed: Record<string, unknown>) => {
    const values = flagValues(linearFlags, parsed);
    if (values.drop_path > 0) {
      throw usageError(`--drop_path ${values.drop_path}: the encoder is frozen; leave it out`);
    }
    const updateFreq = values.accum_iter ?? values.update_freq;
    await trainClassifier('linear', {
      ...fallbacks(engine),
      ...values,
      update_freq: updateFreq,
      save_ckpt_freq: values.save_freq ?? values.save_ckpt_freq,
      lr: values.lr ?? (values.blr * values.batch_size * updateFreq) / 256,
    });
  });
}
