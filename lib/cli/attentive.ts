import type { Command } from 'commander';
import { engineFlags, trainingFlags } from './classify-flags.js';
import { addFlags, choiceFlag, flagValues } from './flags.js';
import { trainClassifier } from './train-classifier.js';

/** The reference's run_attentive, with the defaults of its published recipe. */
export const attentiveFlags = {
  ...trainingFlags,
  ...engineFlags({
    batchSize: 256,
    epochs: 90,
    saveCkptFreq: 50,
    opt: 'sgd',
    lr: 0.4,
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
  }),
  linear_type: choiceFlag(['attentive'], 'attentive', 'kind of probe; cae-native linear is the other'),
} as const;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  addFlags(command, attentiveFlags).action(async (parsed: Record<string, unknown>) => {
    await trainClassifier('attentive', flagValues(attentiveFlags, parsed));
  });
}
