import { type ClassificationData, openClassificationData } from '../data/classification-data.js';
import {
  type ClassificationBatch,
  type ClassificationLoader,
  createEvalLoader,
  createFineTuneLoader,
  createProbeLoader,
  onePass,
} from '../data/classification-loader.js';
import type { ImageSet } from '../data/image-set.js';
import { Mixup } from '../data/mixup.js';
import { Progress } from '../logging/progress.js';
import { AttentiveProbe } from '../models/attentive-probe.js';
import { LinearProbe } from '../models/linear-probe.js';
import type { ClassifierTask, PixelNormalization } from '../models/saved-classifier.js';
import { batchesFrom } from '../training/batches.js';
import {
  type CachedFeatures,
  cacheFeatures,
  type FeatureBatch,
  FeatureBatches,
  featuresInOrder,
} from '../training/cached-features.js';
import { ClassificationInput } from '../training/classification-input.js';
import { featureView, pictureView } from '../training/classifier-views.js';
import type { ClassifierView, LabelledBatch } from '../training/classify.js';
import { halfNormalization, imagenetNormalization, type Normalization } from '../training/pretrain.js';
import type { TrainableClassifier } from './classifier-model.js';
import { type ClassifyFlags, policyOf } from './classify-checks.js';
import { required } from './flags.js';
import { dtypeOf } from './precision.js';

/** A data set as a classifier is measured on it. */
export interface TestSource<B extends LabelledBatch> extends Disposable {
  readonly view: ClassifierView<B>;
  /** One pass over the pictures to measure on. */
  testBatches(): AsyncIterable<B>;
}

/** A data set as a classifier trains and is measured on it. */
export interface DataSource<B extends LabelledBatch> extends TestSource<B> {
  /** Training batches an epoch. */
  readonly batchesPerEpoch: number;
  batches(epoch: number, first: number): AsyncIterable<B>;
}

/** Everything about the pictures that flags and checkpoint decide. */
export interface PictureOptions {
  readonly task: ClassifierTask;
  readonly flags: ClassifyFlags;
  readonly data: ClassificationData;
  readonly inputSize: number;
  readonly normalization: PixelNormalization;
  readonly cropPct: number;
}

/** The mean and deviation of a name. */
export function pixelNormalization(name: PixelNormalization): Normalization {
  return name === 'imagenet' ? imagenetNormalization : halfNormalization;
}

/** Both halves of the data set that the flags name. */
export function openData(flags: ClassifyFlags): ClassificationData {
  const dataPath = required('data_path', flags.data_path);
  const unmeasured = flags.disable_eval_during_finetuning && flags.data_set === 'image_folder';
  return openClassificationData({
    dataSet: flags.data_set === 'IMNET100' ? 'IMNET' : flags.data_set,
    dataPath,
    evalDataPath: flags.eval_data_path ?? (unmeasured ? dataPath : undefined),
    nbClasses: flags.nb_classes,
  });
}

/** mixup and CutMix, where the flags ask for either. */
export function mixupOf(flags: ClassifyFlags, size: number): Mixup | undefined {
  const { mixup, cutmix, cutmix_minmax: limits } = flags;
  if (mixup === 0 && cutmix === 0 && limits.length === 0) return undefined;
  return new Mixup({
    seed: flags.seed,
    size,
    mixup,
    cutmix,
    cutmixMinmax: limits.length === 0 ? undefined : limits,
    mixupProb: flags.mixup_prob,
    switchProb: flags.mixup_switch_prob,
    mode: flags.mixup_mode,
  });
}

/**
 * Pictures in order, cut as evaluation cuts them.
 * @param onBadImage what to do with one that cannot be read; default: an error, whatever the flags say
 */
function evalLoader(
  options: PictureOptions,
  images: ImageSet,
  onBadImage?: 'stop' | 'skip',
): ClassificationLoader {
  const { flags, inputSize, cropPct } = options;
  return createEvalLoader({
    images,
    onBadImage,
    batchSize: flags.eval_batch_size ?? Math.max(1, Math.floor(1.5 * flags.batch_size)),
    seed: flags.seed,
    numWorkers: flags.num_workers,
    inputSize,
    cropPct,
  });
}

/** The training pictures, augmented as the task has it. */
function trainLoader(options: PictureOptions): ClassificationLoader {
  const { task, flags, data, inputSize, normalization } = options;
  const { seed, batch_size: batchSize, num_workers: numWorkers, on_bad_image: onBadImage } = flags;
  const common = { images: data.train, batchSize, seed, numWorkers, onBadImage, inputSize };
  if (task === 'linear') return createProbeLoader(common);
  return createFineTuneLoader({
    ...common,
    aa: policyOf(flags),
    colorJitter: flags.color_jitter,
    trainInterpolation: flags.train_interpolation,
    mean: pixelNormalization(normalization).mean,
    reprob: flags.reprob,
    recount: flags.recount,
  });
}

/** Pictures to measure on, read and shown to the whole classifier; the training pictures are not looked at. */
export function testSource(
  options: PictureOptions,
  model: TrainableClassifier,
): TestSource<ClassificationBatch> {
  const { flags, data, inputSize, normalization } = options;
  const test = evalLoader(options, data.val);
  const input = new ClassificationInput({
    normalization: pixelNormalization(normalization),
    seed: flags.seed,
    classes: data.classes.length,
    remode: flags.remode,
    mixup: mixupOf(flags, inputSize),
    smoothing: flags.smoothing,
  });
  return {
    view: pictureView(model, input),
    testBatches: () => onePass(test),
    [Symbol.dispose]() {
      test.close();
      input.dispose();
    },
  };
}

/** Pictures read, augmented and shown to the whole classifier. */
export function pictureSource(
  options: PictureOptions,
  model: TrainableClassifier,
): DataSource<ClassificationBatch> {
  const train = trainLoader(options);
  const test = testSource(options, model);
  return {
    ...test,
    batchesPerEpoch: train.batchesPerEpoch,
    batches: (epoch, first) => batchesFrom(train, epoch, first),
    [Symbol.dispose]() {
      train.close();
      test[Symbol.dispose]();
    },
  };
}

/** Features that the frozen encoder makes of all pictures once, as evaluation sees them. */
export async function cachedSource(
  options: PictureOptions,
  model: TrainableClassifier,
): Promise<DataSource<FeatureBatch>> {
  if (!(model instanceof LinearProbe || model instanceof AttentiveProbe)) {
    throw new Error('only a probe has features that stay');
  }
  const { flags, data, normalization } = options;
  const pass = { dtype: dtypeOf(flags), dropPath: null };
  const input = new ClassificationInput({
    normalization: pixelNormalization(normalization),
    seed: flags.seed,
    classes: data.classes.length,
  });
  const cache = async (images: ImageSet, onBadImage?: 'stop' | 'skip'): Promise<CachedFeatures> => {
    const loader = evalLoader(options, images, onBadImage);
    const progress = new Progress({ label: 'features', totalSteps: images.length });
    try {
      return await cacheFeatures(
        onePass(loader),
        images.length,
        (batch) => model.features(input.eval(batch), pass),
        (pictures) => progress.update({ step: pictures, images: pictures }),
      );
    } finally {
      progress.finish();
      loader.close();
    }
  };
  try {
    const train = await cache(data.train, flags.on_bad_image);
    const test = await cache(data.val);
    const batches = new FeatureBatches(train, flags.batch_size, flags.seed);
    const testBatch = Math.max(flags.batch_size, 64);
    return {
      view: featureView(model, flags.smoothing),
      batchesPerEpoch: batches.batchesPerEpoch,
      batches: (epoch, first) => batches.from(epoch, first),
      testBatches: () => featuresInOrder(test, testBatch),
      [Symbol.dispose]: () => undefined,
    };
  } finally {
    input.dispose();
  }
}
