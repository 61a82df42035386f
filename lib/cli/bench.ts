import type { Command } from 'commander';
import { modelConfig, modelNames } from '../models/registry.js';
import { classifierConfig } from '../models/vit-registry.js';
import { native } from '../native/addon.js';
import { type BenchTokenizer, benchTokenizers, runBench } from '../training/bench.js';
import { runFeaturesBench, runFinetuneBench } from '../training/classifier-bench.js';
import type { BenchNumbers } from '../training/step-timer.js';
import {
  addFlags,
  choiceFlag,
  deviceFlag,
  type FlagValues,
  flagValues,
  intFlag,
  switchFlag,
  textFlag,
  usageError,
  useDevice,
} from './flags.js';
import { dtypeOf, lossScalerOf, numberFlags, precisionOf, usePrecision } from './precision.js';

const flags = {
  task: choiceFlag(
    ['pretrain', 'finetune', 'features'],
    'pretrain',
    'what a step is: pretraining, fine-tuning, or what a frozen encoder makes of pictures',
  ),
  model: textFlag('base', 'tiny, small, base, large, or a full model name', 'name'),
  batch: intFlag(8, 'pictures a step', { min: 1 }),
  device: deviceFlag(),
  ...numberFlags(),
  steps: intFlag(3, 'steps that are timed; one more warms up', { min: 1 }),
  tokenizer: choiceFlag<BenchTokenizer, undefined>(
    benchTokenizers,
    undefined,
    'tokenizer that makes the targets; default none',
  ),
  threads: intFlag(undefined, 'threads that compute; default: all cores', { min: 1, max: 1024 }),
  profile: switchFlag('add the seconds a step that each op took'),
  num_mask_patches: intFlag(undefined, 'patches masked in each picture; default 98', { min: 1 }),
} as const;

/** Adds the command's flags and action: it prints one JSON line. */
export function register(command: Command): void {
  addFlags(command, flags).action(async (parsed: Record<string, unknown>) => {
    const values = flagValues(flags, parsed);
    if (values.task !== 'pretrain') {
      await benchClassifier(values.task, values);
      return;
    }
    const short = modelNames().find((name) => name.split('_')[1] === values.model);
    const model = short ?? values.model;
    const config = modelConfig(model);
    const patches = (config.imageSize / config.patchSize) ** 2;
    const { batch, steps, tokenizer = 'none', num_mask_patches: maskedPatches = 98 } = values;
    if (maskedPatches >= patches) {
      throw usageError(
        `--num_mask_patches ${maskedPatches} must be below the ${patches} patches of ${model}`,
      );
    }
    const device = useDevice(values.device);
    usePrecision(values);
    if (values.threads !== undefined) native.setThreads(values.threads);
    const numbers = await runBench({
      ...{ config, batch, steps, tokenizer, maskedPatches },
      dtype: dtypeOf(values),
      scaler: lossScalerOf(values.precision),
    });
    const precision = precisionOf(values.precision);
    print({ model, batch, device, precision, steps, tokenizer }, numbers, values.profile);
  });
}

/** Prints what was timed and the numbers as one JSON line; the ops' times if they are asked for. */
function print(what: object, { ops, ...numbers }: BenchNumbers, profile: boolean): void {
  process.stdout.write(`${JSON.stringify({ ...what, ...numbers, ...(profile ? { ops } : {}) })}\n`);
}

/** The same line for a classifier's step. @throws UserError for a flag of pretraining alone */
async function benchClassifier(
  task: 'finetune' | 'features',
  values: FlagValues<typeof flags>,
): Promise<void> {
  const { model, batch, steps } = values;
  for (const flag of ['tokenizer', 'num_mask_patches'] as const) {
    if (values[flag] === undefined) continue;
    throw usageError(`--${flag} ${values[flag]} is for --task pretrain; leave it out`);
  }
  const name = /^(tiny|small|base|large)$/.test(model) ? `cae_${model}_patch16_224` : model;
  const config = classifierConfig(name, { dropPath: task === 'finetune' ? 0.1 : 0 });
  const device = useDevice(values.device);
  if (values.threads !== undefined) native.setThreads(values.threads);
  const run = task === 'finetune' ? runFinetuneBench : runFeaturesBench;
  usePrecision(values);
  const precision = precisionOf(values.precision);
  const scaler = lossScalerOf(values.precision);
  const numbers = await run({ config, batch, steps, dtype: dtypeOf(values), scaler });
  print({ task, model: name, batch, device, precision, steps }, numbers, values.profile);
}
