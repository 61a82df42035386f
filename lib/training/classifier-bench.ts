import type { ClassificationBatch } from '../data/classification-loader.js';
import { Mixup } from '../data/mixup.js';
import { LinearProbe } from '../models/linear-probe.js';
import { VisionTransformer } from '../models/vision-transformer.js';
import type { VitConfig } from '../models/vit-config.js';
import { AdamW } from '../optim/adamw.js';
import type { GradientScaler } from '../optim/gradient-scaler.js';
import { layerDecayGroups } from '../optim/layer-decay.js';
import { scope } from '../tensor/scope.js';
import type { Dtype } from '../tensor/tensor.js';
import { ClassificationInput } from './classification-input.js';
import { pictureView } from './classifier-views.js';
import { ClassifyTask } from './classify.js';
import { imagenetNormalization } from './pretrain.js';
import { type BenchNumbers, timeSteps } from './step-timer.js';

export interface ClassifierBenchOptions {
  readonly config: VitConfig;
  readonly batch: number;
  /** Steps timed, after one that warms up. */
  readonly steps: number;
  readonly dtype: Dtype;
  /** Loss scale of an f16 step of fine-tuning. */
  readonly scaler?: GradientScaler | undefined;
}

/** Random pictures with labels: bytes of a linear congruential generator. */
function randomBatch({ config, batch: size }: ClassifierBenchOptions): ClassificationBatch {
  let state = 1;
  const images = Uint8Array.from({ length: size * config.imageSize ** 2 * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  return {
    ...{ size, images, views: [images], masks: new Uint8Array(), erasing: new Int32Array() },
    labels: Int32Array.from({ length: size }, (_, i) => (i * 7919) % config.numClasses),
    indices: Int32Array.from({ length: size }, (_, i) => i),
    ...{ files: [], epoch: 0, batch: 0, globalIndex: 0, release: () => undefined },
  };
}

/** The input of fine-tuning's recipe, without random erasing. */
function recipeInput({ config }: ClassifierBenchOptions): ClassificationInput {
  const { imageSize: size, numClasses: classes } = config;
  const mixup = new Mixup({ seed: 0, size, mixup: 0.8, cutmix: 1 });
  return new ClassificationInput({
    normalization: imagenetNormalization,
    seed: 0,
    classes,
    mixup,
    smoothing: 0.1,
  });
}

/** Times whole fine-tuning steps: normalisation, mixup, forward, backward, AdamW with layer decay; random weights. */
export async function runFinetuneBench(options: ClassifierBenchOptions): Promise<BenchNumbers> {
  const { config, batch: batchSize, steps, dtype } = options;
  const model = new VisionTransformer(config);
  model.initialize(0);
  const batch = randomBatch(options);
  const groups = layerDecayGroups(model.namedParameters(), { depth: config.depth, layerDecay: 0.65 });
  const task = new ClassifyTask<ClassificationBatch>({
    model,
    classes: config.numClasses,
    view: pictureView(model, recipeInput(options)),
    optimizer: new AdamW(groups),
    batches: async function* () {
      for (;;) yield batch;
    },
    mixed: true,
    dtype,
    seed: 0,
    lr: new Float64Array(steps + 1).fill(1e-4),
    weightDecay: new Float64Array(steps + 1).fill(0.05),
    leastScale: 1,
    scaler: options.scaler,
  });
  return await timeSteps(batchSize, steps, (globalStep) => {
    const metrics = Object.values(task.accumulate(batch, { globalStep, part: 0, parts: 1 }));
    return [...metrics, task.update(globalStep)];
  });
}

/** Times what a frozen encoder takes to turn pictures into features; random weights. */
export async function runFeaturesBench(options: ClassifierBenchOptions): Promise<BenchNumbers> {
  const { batch: batchSize, steps, dtype } = options;
  const model = new LinearProbe({ ...options.config, relPosBias: false, useMeanPooling: false });
  model.initialize(0);
  const batch = randomBatch(options);
  const input = recipeInput(options);
  const pass = { dtype, dropPath: null };
  return await timeSteps(batchSize, steps, () => [scope(() => model.features(input.eval(batch), pass))]);
}
