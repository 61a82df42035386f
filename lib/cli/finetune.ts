import type { Command } from 'commander';
import { engineFlags, trainingFlags } from './classify-flags.js';
import { addFlags, flagValues, numberFlag } from './flags.js';
import { trainClassifier } from './train-classifier.js';

/** The learning rate of the published recipe, and the pictures a step it is for. */
const recipe = { lr: 8e-3, pictures: 4096 };

/** The reference's run_class_finetuning, with the defaults of the published recipe of base. */
export const finetuneFlags = {
  ...trainingFlags,
  ...engineFlags({
    batchSize: 64,
    epochs: 100,
    saveCkptFreq: 5,
    opt: 'adamw',
    lr: recipe.lr,
    layerDecay: 0.65,
    weightDecay: 0.05,
    warmupEpochs: 5,
    dropPath: 0.1,
    colorJitter: 0.4,
    aa: 'rand-m9-mstd0.5-inc1',
    smoothing: 0.1,
    reprob: 0.25,
    mixup: 0.8,
    cutmix: 1,
  }),
  lr: numberFlag(undefined, 'highest learning rate; default: 0.008 for 4096 pictures a step', { above: 0 }),
} as const;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  addFlags(command, finetuneFlags).action(async (parsed: Record<string, unknown>) => {
    const values = flagValues(finetuneFlags, parsed);
    const pictures = values.batch_size * values.update_freq;
    await trainClassifier('finetune', {
      ...values,
      lr: values.lr ?? (recipe.lr * pictures) / recipe.pictures,
    });
  });
}
