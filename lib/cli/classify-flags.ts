import { choiceFlag, deviceFlag, intFlag, numberFlag, numbersFlag, switchFlag, textFlag } from './flags.js';
import * as limits from './limits.js';
import { numberFlags } from './precision.js';

/** What every command that looks at labelled pictures takes: which encoder, and how it computes. */
export const encoderFlags = {
  model: textFlag(
    undefined,
    "model whose sizes are used; default: the checkpoint's, or cae_base_patch16_224",
    'name',
  ),
  input_size: intFlag(undefined, "side of the pictures [pixels]; default: the model's", limits.side),
  patch_size: intFlag(undefined, "in place of the model's", limits.side),
  embed_dim: intFlag(undefined, "in place of the model's", { ...limits.width, min: 4 }),
  depth: intFlag(undefined, "in place of the model's", limits.depth),
  num_heads: intFlag(undefined, "in place of the model's", limits.width),
  mlp_ratio: numberFlag(undefined, "in place of the model's", { above: 0 }),
  model_key: textFlag(undefined, 'keys of a .pth under which the weights may stand, separated by |', 'keys'),
  random: switchFlag("keep random weights: a checkpoint gives the model's sizes alone"),
  normalization: choiceFlag(
    ['half', 'imagenet'],
    undefined,
    "mean and deviation of the pictures; default: the checkpoint's",
  ),
  crop_pct: numberFlag(
    undefined,
    'share of the resized picture that evaluation keeps; default 0.875, from 384 pixels 1',
    {
      above: 0,
      max: 1,
    },
  ),
  seed: intFlag(0, 'every random draw is a function of it', { min: 0, max: 2 ** 32 - 1 }),
  ...numberFlags(),
  device: deviceFlag(),
  threads: intFlag(undefined, 'threads that compute; default: all cores', { min: 1, max: 1024 }),
  num_workers: intFlag(10, 'most threads that decode pictures', { min: 1, max: 1024 }),
} as const;

/** Which labelled pictures. */
export const dataFlags = {
  data_set: choiceFlag(
    ['IMNET', 'image_folder', 'CIFAR', 'CIFAR10', 'IMNET100'],
    'IMNET',
    'layout of the data: IMNET is a folder with train and val, CIFAR the binary files of CIFAR-100',
  ),
  data_path: textFlag(undefined, 'folder of the data; with image_folder, of the training pictures'),
  eval_data_path: textFlag(undefined, 'with image_folder: folder of the pictures to evaluate on'),
  nb_classes: intFlag(0, 'number of classes there must be; 0: as many as there are', {
    ...limits.vocabulary,
    min: 0,
  }),
} as const;

/** How results of an evaluation are told. */
export const reportFlags = {
  confusion: textFlag(undefined, 'file for the confusion matrix: tab-separated, a row a true class'),
  class_accuracy: switchFlag('print the accuracy of each class'),
} as const;

/** Flags of all three tools that train classifiers: names and defaults of the reference where it has them. */
export const trainingFlags = {
  ...encoderFlags,
  ...dataFlags,
  ...reportFlags,
  finetune: textFlag(undefined, 'pretrained checkpoint: a run or checkpoint folder, .safetensors or .pth'),
  imagenet_default_mean_and_std: switchFlag("normalise by ImageNet's mean and deviation"),
  output_dir: textFlag(undefined, 'folder of checkpoints and logs'),
  log_dir: textFlag(undefined, 'folder of TensorBoard events; default: --output_dir'),
  resume: textFlag(
    undefined,
    'folder of a checkpoint, or of a run, to start from where the run has none of its own',
  ),
  auto_resume: switchFlag('go on from the newest valid checkpoint in --output_dir (the default)'),
  no_auto_resume: switchFlag('start anew, in an --output_dir without checkpoints of this name'),
  start_epoch: intFlag(0, 'first epoch of a run that does not resume', { min: 0 }),
  eval: switchFlag('evaluate only: the checkpoint of --resume, or the newest of --output_dir'),
  dist_eval: switchFlag('accepted: one process evaluates all pictures'),
  pin_mem: switchFlag('accepted: copies to a GPU go through pinned memory in any case'),
  no_pin_mem: switchFlag('accepted: copies to a GPU go through pinned memory in any case'),
  world_size: intFlag(1, 'processes: this build trains in one', { min: 1 }),
  local_rank: intFlag(-1, 'place among processes: this build trains in one', { min: -1 }),
  dist_on_itp: switchFlag('for a cluster this build does not know'),
  dist_url: textFlag('env://', 'where processes meet: this build trains in one', 'url'),
  min_lr: numberFlag(1e-6, 'learning rate at the end', { min: 0 }),
  drop: numberFlag(0, 'dropout: this build has none', { min: 0, max: 1 }),
  attn_drop_rate: numberFlag(0, 'dropout of attention: this build has none', { min: 0, max: 1 }),
  use_mean_pooling: switchFlag('classify by the mean of the patch tokens'),
  use_cls: switchFlag('classify by the cls token'),
  layer_scale_init_value: numberFlag(
    undefined,
    "initial layer scale, 0 for none; default: the checkpoint's, or 0.1",
    {
      min: 0,
    },
  ),
  rel_pos_bias: switchFlag('relative position bias in every block'),
  disable_rel_pos_bias: switchFlag('no relative position bias'),
  shared_rel_pos_bias: switchFlag('one relative position bias for all blocks'),
  abs_pos_emb: switchFlag('a learnt position table: not part of this build'),
  sin_pos_emb: switchFlag('the fixed sine-cosine position table (the default)'),
  disable_sin_pos_emb: switchFlag('no sine-cosine position table'),
  enable_linear_eval: switchFlag('accepted by the probes, which freeze the encoder in any case'),
  exp_name: textFlag(undefined, "first part of checkpoints' names; default: the command", 'name'),
  save_every_steps: intFlag(undefined, 'steps between checkpoints within an epoch', { min: 1 }),
  keep_last: intFlag(undefined, 'checkpoints to keep beside the best; default: all', { min: 1 }),
  no_save_best: switchFlag('keep no checkpoint of the best accuracy'),
  eval_freq: intFlag(1, 'epochs between evaluations', { min: 1 }),
  eval_batch_size: intFlag(undefined, 'pictures a batch in evaluation; default: 1.5 times --batch_size', {
    min: 1,
  }),
  on_bad_image: choiceFlag(
    ['stop', 'skip'],
    'stop',
    'what to do with a training picture that cannot be read',
  ),
} as const;

/** Flags that fine-tuning and the attentive probe share, whose defaults differ. */
export function engineFlags(defaults: {
  batchSize: number;
  epochs: number;
  saveCkptFreq: number;
  opt: 'adamw' | 'sgd' | 'lars';
  lr: number;
  layerDecay: number;
  weightDecay: number;
  warmupEpochs: number;
  dropPath: number;
  colorJitter: number;
  aa: string;
  smoothing: number;
  reprob: number;
  mixup: number;
  cutmix: number;
}) {
  return {
    batch_size: intFlag(defaults.batchSize, 'pictures a step', { min: 1 }),
    epochs: intFlag(defaults.epochs, 'epochs of the whole run', limits.epochs),
    update_freq: intFlag(1, 'batches whose gradients make one step', { min: 1 }),
    save_ckpt_freq: intFlag(defaults.saveCkptFreq, 'epochs between checkpoints', { min: 1 }),
    save_ckpt: switchFlag('save checkpoints (the default)'),
    no_save_ckpt: switchFlag('save no checkpoint'),
    disable_eval_during_finetuning: switchFlag('no evaluation after epochs'),
    model_ema: switchFlag('keep an exponential average of the weights, and evaluate it too'),
    model_ema_decay: numberFlag(0.9999, "the average's decay", { min: 0, max: 1 }),
    model_ema_force_cpu: switchFlag('accepted: the average lies with the weights'),
    opt: choiceFlag(['adamw', 'sgd', 'lars'], defaults.opt, 'optimizer; sgd has nesterov momentum'),
    opt_eps: numberFlag(1e-8, "AdamW's epsilon", { above: 0 }),
    opt_betas: numbersFlag([0.9, 0.999], "AdamW's two betas", { min: 0, max: 0.999999999 }),
    clip_grad: numberFlag(undefined, 'largest gradient norm; default: no clipping', { above: 0 }),
    momentum: numberFlag(0.9, 'of sgd and lars', { min: 0, max: 1 }),
    weight_decay: numberFlag(defaults.weightDecay, 'weight decay at the start', { min: 0 }),
    weight_decay_end: numberFlag(undefined, 'weight decay at the end; default: as at the start', { min: 0 }),
    lr: numberFlag(defaults.lr, 'highest learning rate', { above: 0 }),
    layer_decay: numberFlag(defaults.layerDecay, "factor on a block's learning rate to the next one's", {
      above: 0,
      max: 1,
    }),
    warmup_lr: numberFlag(undefined, 'learning rate the warmup starts from; default 0', { min: 0 }),
    warmup_epochs: numberFlag(defaults.warmupEpochs, 'epochs of warmup', { min: 0 }),
    warmup_steps: intFlag(-1, 'steps of warmup; above 0 it replaces --warmup_epochs', { min: -1 }),
    drop_path: numberFlag(defaults.dropPath, 'stochastic depth of the last block', { min: 0, max: 0.99 }),
    color_jitter: numberFlag(defaults.colorJitter, 'strength of colour jitter, where --aa is none', {
      min: 0,
    }),
    aa: textFlag(defaults.aa, 'RandAugment policy, or none', 'policy'),
    smoothing: numberFlag(defaults.smoothing, 'label smoothing', { min: 0, max: 0.999 }),
    train_interpolation: choiceFlag(
      ['bicubic', 'bilinear', 'random'],
      'bicubic',
      'filter of the training pictures',
    ),
    reprob: numberFlag(defaults.reprob, 'probability of random erasing', { min: 0, max: 1 }),
    remode: choiceFlag(
      ['pixel', 'rand', 'const'],
      'pixel',
      'what erased boxes hold: noise, one colour, zeros',
    ),
    recount: intFlag(1, 'most boxes erased from a picture', { min: 1 }),
    resplit: switchFlag('accepted: there are no augmentation splits'),
    mixup: numberFlag(defaults.mixup, "mixup's alpha; 0: no mixup", { min: 0 }),
    cutmix: numberFlag(defaults.cutmix, "cutmix's alpha; 0: no cutmix", { min: 0 }),
    cutmix_minmax: numbersFlag([], "least and largest side of cutmix's box, shares of the picture's", {
      min: 0,
      max: 1,
    }),
    mixup_prob: numberFlag(1, 'probability of mixup or cutmix', { min: 0, max: 1 }),
    mixup_switch_prob: numberFlag(0.5, 'probability of cutmix where both are on', { min: 0, max: 1 }),
    mixup_mode: choiceFlag(['batch', 'pair', 'elem'], 'batch', 'what shares a draw of mixup'),
    activation_checkpointing: switchFlag(
      'keep only the inputs of blocks, and run them again in backward: less memory, more time',
    ),
    no_cuda_graph: switchFlag('on cuda: queue each kernel of each step, rather than replay a recorded step'),
    init_scale: numberFlag(0.001, "factor on the head's initial weights", { min: 0 }),
    model_prefix: textFlag('', "prefix of the checkpoint's names", 'prefix'),
    cache_features: switchFlag('probes: encode each picture once, without random crops, then train on that'),
    disable_weight_decay_on_rel_pos_bias: switchFlag('no decay for the relative position bias'),
    enable_deepspeed: switchFlag('not part of this build'),
    enable_multi_print: switchFlag('accepted: there is one process'),
  } as const;
}
