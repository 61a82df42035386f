import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { createEvalLoader, createFineTuneLoader, onePass } from '../../lib/data/classification-loader.js';
import { ImageFolder } from '../../lib/data/image-folder.js';
import { Mixup } from '../../lib/data/mixup.js';
import { Draws } from '../../lib/data/random.js';
import { VisionTransformer } from '../../lib/models/vision-transformer.js';
import { classifierConfig } from '../../lib/models/vit-registry.js';
import { AdamW } from '../../lib/optim/adamw.js';
import { WeightAverage } from '../../lib/optim/ema.js';
import type { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { layerDecayGroups } from '../../lib/optim/layer-decay.js';
import { cosineSchedule } from '../../lib/optim/schedules.js';
import type { Dtype } from '../../lib/tensor/tensor.js';
import { batchesFrom } from '../../lib/training/batches.js';
import { ClassificationInput } from '../../lib/training/classification-input.js';
import { pictureView } from '../../lib/training/classifier-views.js';
import { ClassifyTask } from '../../lib/training/classify.js';
import { type LoopOptions, runTraining } from '../../lib/training/loop.js';
import { halfNormalization } from '../../lib/training/pretrain.js';

export interface SmallFineTune {
  data: string;
  outputDir: string;
  epochs?: number;
  /** Whether RandAugment, random erasing and mixup are on; default true. */
  augmented?: boolean;
  lr?: number;
  /** Default: f32. */
  dtype?: Dtype;
  /** Default: none. */
  scaler?: GradientScaler;
  /** Whether steps on CUDA are recorded; default true. */
  graph?: boolean;
  /** Called with the task before the first step. */
  onTask?: (task: { readonly recorded: boolean }) => void;
  /** Called before each training batch is handed over. */
  onBatch?: (globalIndex: number) => void;
  options?: Partial<LoopOptions>;
}

/** Two classes of JPEG files in colours that a classifier can learn: reds and blues, with noise. */
export async function makeColours(root: string, perClass: number): Promise<string> {
  for (const [c, name] of ['blue', 'red'].entries()) {
    mkdirSync(join(root, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const noise = new Draws(c, 1, 0, i);
      const pixels = Buffer.from(
        Array.from({ length: 40 * 40 * 3 }, (_, k) => noise.below(128) + (k % 3 === 2 * (1 - c) ? 127 : 0)),
      );
      await sharp(pixels, { raw: { width: 40, height: 40, channels: 3 } })
        .jpeg({ quality: 90 })
        .toFile(join(root, name, `${i}.jpg`));
    }
  }
  return root;
}

/** Fine-tunes a vision transformer of two blocks on 32-pixel pictures, four a batch, its weights averaged. */
export async function finetuneSmall(run: SmallFineTune): Promise<string> {
  const { data, outputDir, epochs = 2, augmented = true, lr = 1e-3, onBatch } = run;
  const images = new ImageFolder(data);
  const classes = images.classes.length;
  const model = new VisionTransformer(
    classifierConfig('cae_tiny_patch16_224', {
      ...{ imageSize: 32, patchSize: 8, embedDim: 32, depth: 2, numHeads: 2 },
      ...{ dropPath: 0.2, numClasses: classes, initScale: 1 },
    }),
  );
  model.initialize(7);
  const common = { images, seed: 7, numWorkers: 1, inputSize: 32 };
  const loader = createFineTuneLoader({
    ...common,
    batchSize: 4,
    aa: augmented ? 'rand-m9-mstd0.5-inc1' : '',
    colorJitter: 0,
    mean: halfNormalization.mean,
    reprob: augmented ? 0.5 : 0,
  });
  const test = createEvalLoader({ ...common, batchSize: 3 });
  const input = new ClassificationInput({
    normalization: halfNormalization,
    seed: 7,
    classes,
    smoothing: 0.1,
    mixup: augmented ? new Mixup({ seed: 7, size: 32, mixup: 0.8, cutmix: 1 }) : undefined,
  });
  const stepsPerEpoch = loader.batchesPerEpoch;
  const optimizer = new AdamW(layerDecayGroups(model.namedParameters(), { depth: 2, layerDecay: 0.65 }));
  const average = new WeightAverage(model, 0.9);
  const said: string[] = [];
  try {
    const task = new ClassifyTask({
      model,
      classes,
      view: pictureView(model, input),
      optimizer,
      batches: async function* (epoch, first) {
        for await (const batch of batchesFrom(loader, epoch, first)) {
          onBatch?.(batch.globalIndex);
          yield batch;
        }
      },
      testBatches: () => onePass(test),
      mixed: augmented,
      dtype: run.dtype ?? 'f32',
      scaler: run.scaler,
      graph: run.graph,
      seed: 7,
      lr: cosineSchedule({ baseValue: lr, finalValue: 1e-6, epochs, stepsPerEpoch }),
      weightDecay: cosineSchedule({ baseValue: 0.05, finalValue: 0.05, epochs, stepsPerEpoch }),
      leastScale: 0.65 ** 3,
      average,
    });
    run.onTask?.(task);
    await runTraining(task, {
      label: 'test',
      outputDir,
      expName: 'small',
      epochs,
      startEpoch: 0,
      stepsPerEpoch,
      updateFreq: 1,
      batchSize: 4,
      saveCkptFreq: 1,
      autoResume: true,
      model: {},
      unchanged: { steps_per_epoch: stepsPerEpoch },
      stream: { write: (text: string) => said.push(text) },
      ...run.options,
    }).finally(() => task.dispose());
  } finally {
    loader.close();
    test.close();
    input.dispose();
    optimizer.dispose();
    average.dispose();
    run.scaler?.dispose();
    model.dispose();
  }
  return said.join('');
}
