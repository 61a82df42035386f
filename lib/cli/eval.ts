import type { Command } from 'commander';
import { checkOutputFile } from '../checkpoint/output-check.js';
import { openEvalData } from '../data/classification-data.js';
import { createEvalLoader, defaultCropPct, onePass } from '../data/classification-loader.js';
import type { ImageSet } from '../data/image-set.js';
import { UserError } from '../errors.js';
import { Progress } from '../logging/progress.js';
import { loadEncoder } from '../models/load-encoder.js';
import { classifierOfTensors, createClassifier, type SavedModel } from '../models/saved-classifier.js';
import { native } from '../native/addon.js';
import { ClassificationInput } from '../training/classification-input.js';
import { pictureView } from '../training/classifier-views.js';
import { scoreBatches } from '../training/classify.js';
import { averageFileName, loadModel } from '../training/run-checkpoint.js';
import { pixelNormalization } from './classifier-data.js';
import type { TrainableClassifier } from './classifier-model.js';
import { dataFlags, encoderFlags, reportFlags } from './classify-flags.js';
import {
  addFlags,
  choiceFlag,
  type FlagValues,
  flagValues,
  intFlag,
  pickDevice,
  required,
  switchFlag,
  textFlag,
} from './flags.js';
import {
  averageFolder,
  checkpointEntries,
  configOf,
  type OpenCheckpoint,
  openCheckpoint,
} from './open-checkpoint.js';
import { dtypeOf, usePrecision } from './precision.js';
import { report } from './score-report.js';
import { toldNormalization } from './told-normalization.js';

const { random: _random, ...sizes } = encoderFlags;
const flags = {
  ...sizes,
  ...reportFlags,
  checkpoint: textFlag(
    undefined,
    'fine-tuned or probed classifier: a run or checkpoint folder, .safetensors or .pth',
  ),
  data_set: choiceFlag(
    ['image_folder', 'IMNET', 'CIFAR', 'CIFAR10'],
    'image_folder',
    'layout of DATA: a folder a class; one with val; binary files',
  ),
  nb_classes: dataFlags.nb_classes,
  batch_size: intFlag(64, 'pictures a batch', { min: 1 }),
  model_ema: switchFlag("the weights' running average in their place"),
} as const;

type EvalFlags = FlagValues<typeof flags>;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  command.argument('<data>', 'labelled pictures: a folder with a sub-folder for each class');
  addFlags(command, flags).action(async (data: string, parsed: Record<string, unknown>) => {
    await evaluate(data, flagValues(flags, parsed));
  });
}

async function evaluate(dataPath: string, values: EvalFlags): Promise<void> {
  const path = required('checkpoint', values.checkpoint);
  if (values.confusion !== undefined) checkOutputFile(values.confusion);
  using checkpoint = await openCheckpoint(path, values.model_key);
  const { saved } = checkpoint;
  const dataSet = values.data_set;
  const images = openEvalData({ dataSet, dataPath, evalDataPath: dataPath, nbClasses: values.nb_classes });
  const { note } = pickDevice(values.device);
  const model = openClassifier(values, checkpoint, path);
  checkClasses(images, saved, model.classes, path);
  if (note !== null) process.stderr.write(`${note}\n`);
  usePrecision(values);
  if (values.threads !== undefined) native.setThreads(values.threads);
  const inputSize = model.config.imageSize;
  const loader = createEvalLoader({
    images,
    batchSize: values.batch_size,
    seed: values.seed,
    numWorkers: values.num_workers,
    inputSize,
    cropPct: values.crop_pct ?? saved.cropPct ?? defaultCropPct(inputSize),
  });
  const task = saved.task ?? classifierOfTensors(checkpointEntries(checkpoint))?.task;
  const { normalization, assumed } = toldNormalization(values.normalization, saved, task, path);
  if (assumed !== null) process.stderr.write(`${assumed}\n`);
  const input = new ClassificationInput({
    normalization: pixelNormalization(normalization),
    seed: values.seed,
    classes: model.classes,
  });
  const progress = new Progress({ label: 'eval', totalSteps: images.length });
  try {
    const scores = await scoreBatches({
      batches: onePass(loader),
      view: pictureView(model, input),
      classes: model.classes,
      dtype: dtypeOf(values),
      onProgress: (pictures) => progress.update({ step: pictures, images: pictures }),
    });
    progress.finish();
    if (scores !== undefined) await report(values, images.classes, scores);
  } finally {
    progress.finish();
    loader.close();
    input.dispose();
  }
}

/**
 * The classifier that a checkpoint holds: as the run saved it, or as its tensors' names tell.
 * Position tables of another grid are interpolated, as where training goes on from it.
 * @throws UserError where it holds none, lacks a tensor, or is of another model
 */
function openClassifier(values: EvalFlags, checkpoint: OpenCheckpoint, path: string): TrainableClassifier {
  const { saved, weights } = checkpoint;
  const entries = checkpointEntries(checkpoint);
  const found = classifierOfTensors(entries);
  if (found === undefined || weights === undefined) {
    throw new UserError(
      `${path} holds no classifier: it has no head; give a checkpoint of cae-native linear, attentive or finetune`,
    );
  }
  const task = saved.task ?? found.task;
  // A file does not tell what a probe looks at: the published recipes' cls token.
  const pooling =
    task !== 'finetune' && saved.config?.useMeanPooling === undefined ? { useMeanPooling: false } : {};
  const model = createClassifier(task, configOf(values, saved, { ...found.config, ...pooling }));
  if (values.model_ema) {
    loadModel(averageFolder(checkpoint), model, averageFileName);
    return model;
  }
  const { missing, unexpected } = loadEncoder(model, entries, path);
  const deepest = Math.max(...unexpected.map((name) => Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? -1)));
  if (deepest >= model.config.depth) {
    throw new UserError(
      `${path} has ${deepest + 1} blocks and the model ${model.config.depth}; give --depth ${deepest + 1}, or leave it out`,
    );
  }
  if (missing.length > 0) {
    throw new UserError(
      `${path} lacks ${missing.slice(0, 3).join(', ')}; give its --model and sizes, or another checkpoint`,
    );
  }
  return model;
}

/** @throws UserError where the pictures' classes are not the classifier's */
function checkClasses(images: ImageSet, saved: SavedModel, count: number, path: string): void {
  const { classes } = images;
  if (classes.length !== count) {
    throw new UserError(
      `${path} tells ${count} classes and the data has ${classes.length}; give the data it was trained for`,
    );
  }
  const at = saved.classes?.findIndex((name, i) => name !== classes[i]) ?? -1;
  if (at >= 0) {
    throw new UserError(
      `class ${at} of ${path} is '${saved.classes?.[at]}' and the data's is '${classes[at]}'; give the data it was trained for`,
    );
  }
}
