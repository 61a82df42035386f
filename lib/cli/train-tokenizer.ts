import type { Command } from 'commander';
import { randomAugmenter } from '../data/augmentations.js';
import { ImageFolder } from '../data/image-folder.js';
import { Loader } from '../data/loader.js';
import { native } from '../native/addon.js';
import { AdamW } from '../optim/adamw.js';
import { parameterGroups } from '../optim/parameter-groups.js';
import { cosineSchedule } from '../optim/schedules.js';
import { batchesFrom } from '../training/batches.js';
import { runTraining } from '../training/loop.js';
import { TrainTokenizerTask } from '../training/train-tokenizer.js';
import {
  addFlags,
  choiceFlag,
  deviceFlag,
  type FlagValues,
  flagValues,
  intFlag,
  numberFlag,
  required,
  switchFlag,
  textFlag,
  usageError,
  useDevice,
} from './flags.js';
import * as limits from './limits.js';
import { parametersOf } from './pretrain.js';
import { runOptions } from './run-flags.js';
import { checkWarmupEpochs, stepsOfEpoch } from './run-length.js';

const flags = {
  data_path: textFlag(undefined, 'folder with a sub-folder of pictures for each class'),
  output_dir: textFlag(undefined, 'folder of checkpoints and logs'),
  log_dir: textFlag(undefined, 'folder of TensorBoard events; default: --output_dir'),
  exp_name: textFlag('tokenizer', "first part of checkpoints' names", 'name'),
  image_size: intFlag(112, 'side of the pictures [pixels]', limits.side),
  num_tokens: intFlag(8192, 'entries of the codebook', limits.vocabulary),
  dvae_num_layers: intFlag(3, 'halvings of the picture', { min: 1, max: 8 }),
  num_resnet_blocks: intFlag(2, 'residual blocks of encoder and decoder', { ...limits.depth, min: 0 }),
  hidden_dim: intFlag(256, 'channels', limits.width),
  codebook_dim: intFlag(512, 'width of a codebook entry', limits.width),
  temperature: numberFlag(0.9, 'of the gumbel-softmax, at the start', limits.temperature),
  temperature_end: numberFlag(0.0625, 'of the gumbel-softmax, at the end', limits.temperature),
  smooth_l1_loss: switchFlag('smooth L1 in place of the mean squared error'),
  kl_div_loss_weight: numberFlag(0, "weight of KL(a picture's tokens, uniform) [per nat]", { min: 0 }),
  epochs: intFlag(20, 'epochs of the whole run', limits.epochs),
  batch_size: intFlag(32, 'pictures a step', { min: 1 }),
  update_freq: intFlag(1, 'batches whose gradients make one step', { min: 1 }),
  lr: numberFlag(1e-3, 'highest learning rate', { above: 0 }),
  encoder_lr_scale: numberFlag(0.05, "the encoder's share of the learning rate", { above: 0, max: 1 }),
  min_lr: numberFlag(1e-5, 'learning rate at the end', { min: 0 }),
  warmup_epochs: numberFlag(1, 'epochs of warmup', { min: 0 }),
  weight_decay: numberFlag(0, 'weight decay', { min: 0 }),
  clip_grad: numberFlag(undefined, 'largest gradient norm; default: no clipping', { above: 0 }),
  crop_min_size: numberFlag(0.08, 'least area of a crop, a share of the picture', { above: 0, max: 1 }),
  seed: intFlag(0, 'every random draw is a function of it', { min: 0, max: 2 ** 32 - 1 }),
  save_ckpt_freq: intFlag(5, 'epochs between checkpoints', { min: 1 }),
  save_every_steps: intFlag(undefined, 'steps between checkpoints within an epoch', { min: 1 }),
  keep_last: intFlag(2, 'checkpoints to keep', { min: 1 }),
  resume: textFlag(undefined, 'checkpoint to start from where the run has none of its own'),
  no_auto_resume: switchFlag('start anew, in an --output_dir without checkpoints of this name'),
  num_workers: intFlag(10, 'most threads that decode pictures', { min: 1, max: 1024 }),
  on_bad_image: choiceFlag(['stop', 'skip'], 'stop', 'what to do with a picture that cannot be read'),
  device: deviceFlag(),
  threads: intFlag(undefined, 'threads that compute; default: all cores', { min: 1, max: 1024 }),
} as const;

type TokenizerFlags = FlagValues<typeof flags>;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  addFlags(command, flags).action(async (parsed: Record<string, unknown>) => {
    const values = flagValues(flags, parsed);
    const multiple = 2 ** values.dvae_num_layers;
    if (values.image_size % multiple !== 0) {
      throw usageError(`--image_size ${values.image_size} must divide by ${multiple} (2^--dvae_num_layers)`);
    }
    required('output_dir', values.output_dir);
    const loader = new Loader({
      images: new ImageFolder(required('data_path', values.data_path)),
      batchSize: values.batch_size,
      seed: values.seed,
      views: [{ size: values.image_size, filter: 'lanczos' }],
      augmenter: randomAugmenter({
        seed: values.seed,
        cropMinSize: values.crop_min_size,
        cropMaxSize: 1,
        colorJitter: 0,
      }),
      numWorkers: values.num_workers,
      onBadImage: values.on_bad_image,
    });
    try {
      await train(values, loader);
    } finally {
      loader.close();
    }
  });
}

async function train(values: TokenizerFlags, loader: Loader): Promise<void> {
  const { epochs, seed, batch_size: batchSize, update_freq: updateFreq } = values;
  checkWarmupEpochs(values);
  const stepsPerEpoch = stepsOfEpoch(values, loader.batchesPerEpoch);
  useDevice(values.device);
  if (values.threads !== undefined) native.setThreads(values.threads);
  const config = {
    imageSize: values.image_size,
    numTokens: values.num_tokens,
    numLayers: values.dvae_num_layers,
    numResnetBlocks: values.num_resnet_blocks,
    hiddenDim: values.hidden_dim,
    codebookDim: values.codebook_dim,
    smoothL1Loss: values.smooth_l1_loss,
    klDivLossWeight: values.kl_div_loss_weight,
  };
  const { DiscreteVae } = await import('../models/discrete-vae.js');
  const model = new DiscreteVae(config);
  model.initialize(seed);
  const schedule = { epochs, stepsPerEpoch };
  const task = new TrainTokenizerTask({
    model,
    // The decoder learns fast what the tokens mean; an encoder as fast would change the meaning under its hands, and
    // fall back on a few tokens.
    optimizer: new AdamW(
      parameterGroups(model.namedParameters()).map((group) => ({
        ...group,
        lrScale: group.name.startsWith('encoder.') ? values.encoder_lr_scale : 1,
      })),
    ),
    batches: (epoch, first) => batchesFrom(loader, epoch, first),
    batchSize,
    vocabulary: values.num_tokens,
    seed,
    lr: cosineSchedule({
      baseValue: values.lr,
      finalValue: values.min_lr,
      warmupEpochs: values.warmup_epochs,
      ...schedule,
    }),
    temperature: cosineSchedule({
      baseValue: values.temperature,
      finalValue: values.temperature_end,
      ...schedule,
    }),
    weightDecay: values.weight_decay,
    leastLrScale: values.encoder_lr_scale,
    clip: values.clip_grad,
  });
  await runTraining(task, {
    label: 'train-tokenizer',
    expName: values.exp_name,
    ...runOptions(values, stepsPerEpoch),
    intro: parametersOf(model),
    model: { kind: 'discrete-vae', config },
    unchanged: { seed, batch_size: batchSize, update_freq: updateFreq, steps_per_epoch: stepsPerEpoch },
  });
}
