import { createEvalLoader, defaultCropPct, onePass } from '../data/classification-loader.js';
import type { ImageSet } from '../data/image-set.js';
import { Progress } from '../logging/progress.js';
import { encoderFeatures, FeatureEncoder, type Pool } from '../models/feature-encoder.js';
import { classifierOfTensors } from '../models/saved-classifier.js';
import { VisionTransformer } from '../models/vision-transformer.js';
import type { VitConfig } from '../models/vit-config.js';
import type { VitEncoder } from '../models/vit-encoder.js';
import { native } from '../native/addon.js';
import { ClassificationInput } from '../training/classification-input.js';
import { outputs } from '../training/outputs.js';
import { pixelNormalization } from './classifier-data.js';
import { encoderFlags } from './classify-flags.js';
import { choiceFlag, type FlagValues, intFlag, pickDevice, textFlag, usageError } from './flags.js';
import { checkpointEntries, configOf, loadInto, openCheckpoint } from './open-checkpoint.js';
import { dtypeOf, precisionOf, usePrecision } from './precision.js';
import { toldNormalization } from './told-normalization.js';

/** Flags of the commands that want features of pictures. */
export const featureFlags = {
  ...encoderFlags,
  checkpoint: textFlag(
    undefined,
    'pretrained or fine-tuned: a run or checkpoint folder, .safetensors or .pth',
  ),
  layer: intFlag(undefined, 'block behind which features are taken; default: the last', { min: 0 }),
  batch_size: intFlag(64, 'pictures a batch', { min: 1 }),
  data_set: choiceFlag(['image_folder', 'IMNET', 'CIFAR', 'CIFAR10'], 'image_folder', 'layout of the data'),
} as const;

export type FeatureFlags = FlagValues<typeof featureFlags>;

/** An encoder ready to see pictures, and how it sees them. */
export interface OpenEncoder extends Disposable {
  readonly model: VitEncoder;
  /** What the features are of, for a file's metadata. */
  readonly about: Readonly<Record<string, string>>;
  readonly layer: number;
  /** Features of all pictures in order, batch by batch. */
  features(images: ImageSet, pool: Pool, label: string): AsyncGenerator<Float32Array, void, void>;
}

/** The encoder of the flags: the checkpoint's, or one of random weights. */
export async function openEncoder(flags: FeatureFlags): Promise<OpenEncoder> {
  if (flags.checkpoint === undefined && !flags.random) {
    throw usageError('--checkpoint is missing; give it, or --random with a --model');
  }
  if (flags.checkpoint === undefined && flags.model === undefined) {
    throw usageError('--random: give the --model, or a --checkpoint whose sizes it has');
  }
  using checkpoint = await openCheckpoint(flags.checkpoint, flags.model_key);
  const { saved } = checkpoint;
  const found = flags.random ? undefined : classifierOfTensors(checkpointEntries(checkpoint));
  const finetuned = found !== undefined && found.task === 'finetune';
  const wanted = finetuned
    ? found.config
    : { relPosBias: false, useMeanPooling: false, numClasses: 1, ...positions(found?.config) };
  const config = configOf(flags, saved, wanted);
  const layer = flags.layer ?? config.depth;
  if (layer > config.depth) throw usageError(`--layer ${layer}: the encoder has ${config.depth} blocks`);
  if (flags.threads !== undefined) native.setThreads(flags.threads);
  const { note } = pickDevice(flags.device);
  usePrecision(flags);
  const model = finetuned ? new VisionTransformer(config) : new FeatureEncoder(config);
  model.initialize(flags.seed);
  const notes = flags.random ? ['the encoder has random weights'] : loadInto(model, checkpoint);
  if (note !== null) notes.unshift(note);
  const source = flags.random ? undefined : flags.checkpoint;
  const task = saved.task ?? found?.task;
  const { normalization, assumed } = toldNormalization(flags.normalization, saved, task, source);
  if (assumed !== null) notes.push(assumed);
  process.stderr.write(`${notes.join('\n')}\n`);
  const cropPct = flags.crop_pct ?? saved.cropPct ?? defaultCropPct(config.imageSize);
  const input = new ClassificationInput({
    normalization: pixelNormalization(normalization),
    seed: flags.seed,
    classes: 1,
  });
  return {
    model,
    layer,
    about: {
      checkpoint: flags.random ? `random, seed ${flags.seed}` : (flags.checkpoint ?? ''),
      layer: String(layer),
      precision: precisionOf(flags.precision),
      normalization,
      input_size: String(config.imageSize),
      crop_pct: String(cropPct),
    },
    async *features(images, pool, label) {
      const { batch_size: batchSize, seed, num_workers: numWorkers } = flags;
      const loader = createEvalLoader({
        images,
        batchSize,
        seed,
        numWorkers,
        inputSize: config.imageSize,
        cropPct,
      });
      const progress = new Progress({ label, totalSteps: images.length });
      const pass = { dtype: dtypeOf(flags), dropPath: null };
      let done = 0;
      try {
        const batches = outputs(onePass(loader), (batch) =>
          encoderFeatures(model, input.eval(batch), pass, pool, layer),
        );
        for await (const { batch, data } of batches) {
          done += batch.size;
          progress.update({ step: done, images: done });
          yield data as Float32Array;
        }
      } finally {
        progress.finish();
        loader.close();
      }
    },
    [Symbol.dispose]() {
      input.dispose();
      model.dispose();
    },
  };
}

/** The positions a probe's encoder has. */
function positions(config: Partial<VitConfig> | undefined): Partial<VitConfig> {
  if (config === undefined) return {};
  const { relPosBias = false, sharedRelPosBias = false, sinPosEmb = true } = config;
  return { relPosBias, sharedRelPosBias, sinPosEmb };
}
