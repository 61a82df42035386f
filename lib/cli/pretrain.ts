import type { Command } from 'commander';
import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { ImageFolder } from '../data/image-folder.js';
import { createPretrainLoader, type PretrainLoader } from '../data/pretrain-transform.js';
import { parameterTable } from '../logging/parameter-table.js';
import { Cae } from '../models/cae.js';
import { type CaeConfig, gridSize } from '../models/cae-config.js';
import { native } from '../native/addon.js';
import type { Module } from '../nn/module.js';
import { AdamW } from '../optim/adamw.js';
import { parameterGroups } from '../optim/parameter-groups.js';
import { cosineSchedule } from '../optim/schedules.js';
import { batchesFrom } from '../training/batches.js';
import { runTraining } from '../training/loop.js';
import {
  dalleNormalization,
  halfNormalization,
  imagenetNormalization,
  PretrainTask,
} from '../training/pretrain.js';
import { addFlags, flagValues, required, usageError, useDevice } from './flags.js';
import { dtypeOf, lossScalerOf, precisionOf, usePrecision } from './precision.js';
import { checkSupported, configOfFlags, type PretrainFlags } from './pretrain-checks.js';
import { pretrainFlags } from './pretrain-flags.js';
import { runOptions } from './run-flags.js';
import { stepsOfEpoch } from './run-length.js';

/** Adds the command's flags and action. */
export function register(command: Command): void {
  addFlags(command, pretrainFlags).action(async (parsed: Record<string, unknown>) => {
    await pretrain(flagValues(pretrainFlags, parsed));
  });
}

/** Everything is checked before anything is written. */
async function pretrain(flags: PretrainFlags): Promise<void> {
  checkSupported(flags);
  const config = configOfFlags(flags);
  const grid = gridSize(config);
  const loader = openLoader(flags, grid);
  try {
    await train(flags, config, loader);
  } finally {
    loader.close();
  }
}

async function train(flags: PretrainFlags, config: CaeConfig, loader: PretrainLoader): Promise<void> {
  const stepsPerEpoch = stepsOfEpoch(flags, loader.batchesPerEpoch);
  const schedules = schedulesOf(flags, stepsPerEpoch);
  useDevice(flags.device);
  if (flags.threads !== undefined) native.setThreads(flags.threads);
  usePrecision({ precision: flags.precision, tf32: flags.tf32, deterministic: flags.deterministic });
  const { tokenizer, digest } = await openTokenizer(flags, config);
  const model = new Cae(config);
  model.initialize(flags.seed, flags.fix_init_weight);
  const [beta1 = 0.9, beta2 = 0.999] = flags.opt_betas;
  const optimizer = new AdamW(parameterGroups(model.namedParameters()), {
    betas: [beta1, beta2],
    eps: flags.opt_eps,
  });
  const task = new PretrainTask({
    model,
    tokenizer,
    optimizer,
    batches: (epoch, first) => batchesFrom(loader, epoch, first),
    batchSize: flags.batch_size,
    maskedPatches: loader.maskedPatches,
    dtype: dtypeOf(flags),
    seed: flags.seed,
    normalization: flags.imagenet_default_mean_and_std ? imagenetNormalization : halfNormalization,
    tokenizerNormalization: flags.discrete_vae_type === 'dall-e' ? dalleNormalization : halfNormalization,
    clip: flags.clip_grad,
    scaler: lossScalerOf(flags.precision),
    checkpoint: flags.activation_checkpointing,
    graph: !flags.no_cuda_graph,
    ...schedules,
  });
  const { seed, batch_size: batchSize, update_freq: updateFreq } = flags;
  await runTraining(task, {
    label: 'pretrain',
    expName: flags.exp_name,
    ...runOptions(flags, stepsPerEpoch),
    intro: parametersOf(model),
    model: {
      kind: 'cae',
      config: { ...config },
      imagenetNormalization: flags.imagenet_default_mean_and_std,
      maskedPatches: loader.maskedPatches,
      tokenizerSize: flags.second_input_size,
      tokenizerType: flags.discrete_vae_type,
    },
    args: JSON.parse(JSON.stringify(flags)) as JsonObject,
    unchanged: {
      seed,
      batch_size: batchSize,
      update_freq: updateFreq,
      precision: precisionOf(flags.precision),
      steps_per_epoch: stepsPerEpoch,
      tokenizer: digest,
    },
  });
}

function openLoader(flags: PretrainFlags, grid: number): PretrainLoader {
  return createPretrainLoader({
    images: new ImageFolder(required('data_path', flags.data_path)),
    batchSize: flags.batch_size,
    seed: flags.seed,
    numWorkers: flags.num_workers,
    onBadImage: flags.on_bad_image,
    inputSize: flags.input_size,
    inputFilter: flags.train_interpolation,
    secondInputSize: flags.second_input_size,
    secondFilter: flags.second_interpolation,
    cropMinSize: flags.crop_min_size,
    cropMaxSize: flags.crop_max_size,
    colorJitter: flags.color_jitter,
    mask: {
      kind: flags.mask_generator,
      grid: [grid, grid],
      numMaskPatches: flags.num_mask_patches,
      maxMaskPatchesPerBlock: flags.max_mask_patches_per_block,
      minMaskPatchesPerBlock: flags.min_mask_patches_per_block,
      ratioMaskPatches: flags.ratio_mask_patches,
    },
  });
}

/** Learning rate and weight decay of each step. */
function schedulesOf(
  flags: PretrainFlags,
  stepsPerEpoch: number,
): { lr: Float64Array; weightDecay: Float64Array } {
  const { epochs, warmup_epochs: warmupEpochs, warmup_steps: warmupSteps } = flags;
  return {
    lr: cosineSchedule({
      baseValue: flags.lr,
      finalValue: flags.min_lr,
      epochs,
      stepsPerEpoch,
      warmupEpochs,
      warmupSteps,
      startWarmupValue: flags.warmup_lr ?? 0,
    }),
    weightDecay: cosineSchedule({
      baseValue: flags.weight_decay,
      finalValue: flags.weight_decay_end ?? flags.weight_decay,
      epochs,
      stepsPerEpoch,
    }),
  };
}

/** The tokenizer, checked against the model's vocabulary and grid, and its weights' digest. @throws UserError where they differ */
async function openTokenizer(flags: PretrainFlags, config: CaeConfig) {
  const path = required('discrete_vae_weight_path', flags.discrete_vae_weight_path);
  const type = flags.discrete_vae_type === 'dall-e' ? 'dall-e' : 'customized';
  const { loadTokenizer } = await import('../models/tokenizer.js');
  const { tokenizerDigest } = await import('../models/tokenizer-digest.js');
  const tokenizer = await loadTokenizer(type, path);
  tokenizer.encodeIn(dtypeOf(flags));
  if (tokenizer.vocabulary !== config.decoderNumClasses) {
    throw usageError(
      `${path} has ${tokenizer.vocabulary} tokens and --decoder_num_classes is ${config.decoderNumClasses}; give ${tokenizer.vocabulary}`,
    );
  }
  const layers = Math.log2(tokenizer.reduction);
  if (type === 'customized' && flags.dvae_num_layers !== undefined && flags.dvae_num_layers !== layers) {
    throw usageError(
      `--dvae_num_layers ${flags.dvae_num_layers}: ${path} has ${layers}; give ${layers}, or leave it out`,
    );
  }
  const grid = flags.second_input_size / tokenizer.reduction;
  if (grid !== gridSize(config)) {
    const wanted = gridSize(config) * tokenizer.reduction;
    throw usageError(
      `--second_input_size ${flags.second_input_size} gives a ${grid}x${grid} grid of tokens for ${gridSize(config)}x${gridSize(config)} patches; give ${wanted}`,
    );
  }
  return { tokenizer, digest: await tokenizerDigest(type, path) };
}

/** The table of a model's parameters. */
export function parametersOf(model: Module): string {
  const rows = [...model.namedParameters()].map(([name, parameter]) => ({
    name,
    shape: parameter.shape,
    dtypeBytes: 4,
    trainable: parameter.requiresGrad,
  }));
  return parameterTable(rows);
}
