import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { checkOutputFile } from '../checkpoint/output-check.js';
import { defaultCropPct } from '../data/classification-loader.js';
import { BatchSampler } from '../data/sampler.js';
import type { ClassifierTask } from '../models/saved-classifier.js';
import { native } from '../native/addon.js';
import { WeightAverage } from '../optim/ema.js';
import { cosineSchedule, epochCosineSchedule } from '../optim/schedules.js';
import { ClassifyTask, type LabelledBatch, scoreBatches } from '../training/classify.js';
import { runTraining } from '../training/loop.js';
import { averageFileName, findResume, loadModel } from '../training/run-checkpoint.js';
import type { Scores } from '../training/scores.js';
import {
  cachedSource,
  type DataSource,
  mixupOf,
  openData,
  type PictureOptions,
  pictureSource,
  type TestSource,
  testSource,
} from './classifier-data.js';
import {
  classifierConfigOf,
  loadedClassifier,
  optimizerOf,
  type TrainableClassifier,
} from './classifier-model.js';
import { type ClassifyFlags, checkClassifyFlags } from './classify-checks.js';
import { pickDevice, required, usageError } from './flags.js';
import { averageFolder, normalizationOf, type OpenCheckpoint, openCheckpoint } from './open-checkpoint.js';
import { dtypeOf, lossScalerOf, precisionOf, usePrecision } from './precision.js';
import { parametersOf } from './pretrain.js';
import { runOptions } from './run-flags.js';
import { stepsOfEpoch } from './run-length.js';
import { report } from './score-report.js';

/** Trains a classifier, or evaluates it alone: everything is checked before anything is written. */
export async function trainClassifier(task: ClassifierTask, flags: ClassifyFlags): Promise<void> {
  checkClassifyFlags(task, flags);
  if (flags.confusion !== undefined) {
    const made = flags.eval ? [] : [flags.output_dir, flags.log_dir].filter((name) => name !== undefined);
    checkOutputFile(flags.confusion, made);
  }
  const data = openData(flags);
  if (flags.threads !== undefined) native.setThreads(flags.threads);
  using checkpoint = await openCheckpoint(flags.finetune, flags.model_key);
  const { saved } = checkpoint;
  const config = classifierConfigOf(task, flags, saved, data.classes.length);
  const fallback = task === 'linear' || flags.imagenet_default_mean_and_std ? 'imagenet' : 'half';
  const told = flags.imagenet_default_mean_and_std ? 'imagenet' : undefined;
  const pictures: PictureOptions = {
    task,
    flags,
    data,
    inputSize: config.imageSize,
    normalization: normalizationOf({ normalization: flags.normalization ?? told }, saved, fallback),
    cropPct: flags.crop_pct ?? defaultCropPct(config.imageSize),
  };
  const { note } = pickDevice(flags.device);
  usePrecision(flags);
  const { model, notes } = loadedClassifier(task, config, flags, checkpoint);
  if (note !== null) notes.unshift(note);
  const say = (): void => void process.stderr.write(`${notes.join('\n')}\n`);
  if (flags.eval) {
    using source = testSource(pictures, model);
    say();
    await evaluateOnly(pictures, model, source, checkpoint);
  } else if (flags.cache_features) {
    checkBatch(pictures, data.train.length);
    say();
    using source = await cachedSource(pictures, model);
    await train(pictures, model, source);
  } else {
    using source = pictureSource(pictures, model);
    stepsOfEpoch(flags, source.batchesPerEpoch);
    say();
    await train(pictures, model, source);
  }
}

/** @throws UserError for a step of more pictures than there are, before their features are computed */
function checkBatch(pictures: PictureOptions, length: number): void {
  const { batch_size: batchSize, seed } = pictures.flags;
  stepsOfEpoch(pictures.flags, new BatchSampler({ length, batchSize, seed }).batchesPerEpoch);
}

/** Learning rate and weight decay of each step: the linear probe's by fractional epochs, the others' by steps. */
function schedulesOf(
  task: ClassifierTask,
  flags: ClassifyFlags,
  stepsPerEpoch: number,
): { lr: Float64Array; weightDecay: Float64Array } {
  const { epochs, lr, min_lr: minLr, warmup_epochs: warmupEpochs, warmup_steps: warmupSteps } = flags;
  const rates =
    task === 'linear'
      ? epochCosineSchedule({ lr, minLr, epochs, warmupEpochs, stepsPerEpoch })
      : cosineSchedule({
          baseValue: lr,
          finalValue: minLr,
          epochs,
          stepsPerEpoch,
          warmupEpochs,
          warmupSteps,
          startWarmupValue: flags.warmup_lr ?? 0,
        });
  const weightDecay = cosineSchedule({
    baseValue: flags.weight_decay,
    finalValue: flags.weight_decay_end ?? flags.weight_decay,
    epochs,
    stepsPerEpoch,
  });
  return { lr: rates, weightDecay };
}

async function train<B extends LabelledBatch>(
  pictures: PictureOptions,
  model: TrainableClassifier,
  source: DataSource<B>,
): Promise<void> {
  const { task: name, flags, data, inputSize, normalization, cropPct } = pictures;
  const stepsPerEpoch = stepsOfEpoch(flags, source.batchesPerEpoch);
  const schedules = schedulesOf(name, flags, stepsPerEpoch);
  const { optimizer, leastScale } = optimizerOf(model, flags);
  const measured = !flags.disable_eval_during_finetuning;
  const task = new ClassifyTask<B>({
    model,
    classes: data.classes.length,
    view: source.view,
    optimizer,
    batches: (epoch, first) => source.batches(epoch, first),
    testBatches: measured ? () => source.testBatches() : undefined,
    mixed: mixupOf(flags, inputSize) !== undefined,
    dtype: dtypeOf(flags),
    seed: flags.seed,
    ...schedules,
    leastScale,
    clip: flags.clip_grad,
    scaler: lossScalerOf(flags.precision),
    checkpoint: flags.activation_checkpointing,
    graph: !flags.no_cuda_graph,
    average: flags.model_ema ? new WeightAverage(model, flags.model_ema_decay) : undefined,
  });
  const { seed, batch_size: batchSize, update_freq: updateFreq, mixup, cutmix } = flags;
  await runTraining(task, {
    label: name,
    expName: flags.exp_name ?? name,
    ...runOptions(flags, stepsPerEpoch),
    saveCkpt: !flags.no_save_ckpt,
    saveBest: !flags.no_save_best,
    evalFreq: flags.eval_freq,
    intro: parametersOf(model),
    model: savedAs(pictures, model),
    args: JSON.parse(JSON.stringify(flags)) as JsonObject,
    unchanged: {
      task: name,
      seed,
      batch_size: batchSize,
      update_freq: updateFreq,
      precision: precisionOf(flags.precision),
      steps_per_epoch: stepsPerEpoch,
      mixup,
      cutmix,
      opt: flags.opt,
      classes: data.classes.length,
      cache_features: flags.cache_features,
      normalization,
      crop_pct: cropPct,
    },
  });
  if (!measured) return;
  await report(flags, data.classes, task.scores ?? (await measure(pictures, source)));
}

/** What a checkpoint says of the model, enough to build it again. */
function savedAs(
  { task, data, normalization, cropPct }: PictureOptions,
  { config }: TrainableClassifier,
): JsonObject {
  return { kind: 'classifier', task, config: { ...config }, classes: data.classes, normalization, cropPct };
}

async function measure<B extends LabelledBatch>(
  { data, flags }: PictureOptions,
  source: TestSource<B>,
): Promise<Scores> {
  const scores = await scoreBatches({
    batches: source.testBatches(),
    view: source.view,
    classes: data.classes.length,
    dtype: dtypeOf(flags),
  });
  if (scores === undefined) throw new Error('an evaluation that nothing stops was broken off');
  return scores;
}

/**
 * `--eval`: the newest checkpoint of the run, or the one of `--resume`; else what `--finetune` loaded, its head too.
 * With `--model_ema` its running average.
 */
async function evaluateOnly<B extends LabelledBatch>(
  pictures: PictureOptions,
  model: TrainableClassifier,
  source: TestSource<B>,
  checkpoint: OpenCheckpoint,
): Promise<void> {
  const { flags, task, data } = pictures;
  const found = await findResume(
    {
      outputDir: required('output_dir', flags.output_dir),
      expName: flags.exp_name ?? task,
      autoResume: flags.resume === undefined && !flags.no_auto_resume,
      resume: flags.resume,
    },
    (line) => void process.stderr.write(`${line}\n`),
  );
  if (found === undefined && flags.finetune === undefined) {
    throw usageError('--eval: there is no checkpoint in --output_dir; name one with --resume or --finetune');
  }
  if (flags.model_ema) loadModel(found?.folder ?? averageFolder(checkpoint), model, averageFileName);
  else if (found !== undefined) loadModel(found.folder, model);
  await report(flags, data.classes, await measure(pictures, source));
}
