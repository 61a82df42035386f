import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { ImageFolder } from '../../lib/data/image-folder.js';
import { createPretrainLoader } from '../../lib/data/pretrain-transform.js';
import { Cae } from '../../lib/models/cae.js';
import { modelConfig } from '../../lib/models/registry.js';
import { native } from '../../lib/native/addon.js';
import { AdamW } from '../../lib/optim/adamw.js';
import type { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { parameterGroups } from '../../lib/optim/parameter-groups.js';
import { cosineSchedule } from '../../lib/optim/schedules.js';
import { keep } from '../../lib/tensor/scope.js';
import { type Dtype, Tensor } from '../../lib/tensor/tensor.js';
import { batchesFrom } from '../../lib/training/batches.js';
import { type LoopOptions, runTraining } from '../../lib/training/loop.js';
import { halfNormalization, PretrainTask, type TargetTokenizer } from '../../lib/training/pretrain.js';

/** Two classes of small JPEG files. */
export async function makePictures(root: string, perClass: number): Promise<string> {
  for (const [c, name] of ['a', 'b'].entries()) {
    mkdirSync(join(root, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const pixels = Buffer.from(
        Array.from({ length: 48 * 48 * 3 }, (_, k) => (k * (i + 3) + 90 * c + (k >> 5) * i) & 255),
      );
      await sharp(pixels, { raw: { width: 48, height: 48, channels: 3 } })
        .jpeg({ quality: 90 })
        .toFile(join(root, name, `${i}.jpg`));
    }
  }
  return root;
}

const vocabulary = 16;

/** A tokenizer whose token is the place: learnable, and the same for each picture. */
class PlaceTokenizer implements TargetTokenizer {
  readonly #tokens: Tensor;

  constructor(batch: number) {
    const tokens = Int32Array.from({ length: batch * 16 }, (_, i) => i % vocabulary);
    this.#tokens = keep(Tensor.from(tokens, [tokens.length]));
  }

  encode(): Tensor {
    return new Tensor(native.cast(this.#tokens.handle, 'i32'));
  }

  dispose(): void {
    this.#tokens.release();
  }
}

export interface SmallRun {
  data: string;
  outputDir: string;
  epochs?: number;
  updateFreq?: number;
  lr?: number;
  /** Default: f32. */
  dtype?: Dtype;
  /** Default: none. */
  scaler?: GradientScaler;
  /** Whether steps on CUDA are recorded; default true. */
  graph?: boolean;
  /** Called with the task before the first step. */
  onTask?: (task: PretrainTask) => void;
  /** Called before each batch is handed over. */
  onBatch?: (globalIndex: number) => void;
  options?: Partial<LoopOptions>;
}

/** Pretrains a CAE of two blocks on 32-pixel pictures, four a batch. */
export async function pretrainSmall(run: SmallRun): Promise<string> {
  const { data, outputDir, epochs = 2, updateFreq = 1, lr = 1e-3, onBatch } = run;
  const model = new Cae(
    modelConfig('cae_tiny_patch16_224_8k_vocab', {
      imageSize: 32,
      patchSize: 8,
      embedDim: 32,
      depth: 2,
      numHeads: 2,
      regressorDepth: 1,
      decoderDepth: 1,
      decoderEmbedDim: 32,
      decoderNumHeads: 2,
      decoderNumClasses: vocabulary,
      dropPath: 0.1,
    }),
  );
  model.initialize(7);
  const loader = createPretrainLoader({
    images: new ImageFolder(data),
    batchSize: 4,
    seed: 7,
    numWorkers: 1,
    inputSize: 32,
    inputFilter: 'bicubic',
    secondInputSize: 16,
    secondFilter: 'lanczos',
    cropMinSize: 0.3,
    cropMaxSize: 1,
    colorJitter: 0,
    mask: { kind: 'block', grid: [4, 4], numMaskPatches: 8, minMaskPatchesPerBlock: 2 },
  });
  const stepsPerEpoch = Math.floor(loader.batchesPerEpoch / updateFreq);
  const optimizer = new AdamW(parameterGroups(model.namedParameters()));
  const tokenizer = new PlaceTokenizer(4);
  const said: string[] = [];
  try {
    const task = new PretrainTask({
      model,
      tokenizer,
      optimizer,
      batches: async function* (epoch, first) {
        for await (const batch of batchesFrom(loader, epoch, first)) {
          onBatch?.(batch.globalIndex);
          yield batch;
        }
      },
      batchSize: 4,
      maskedPatches: 8,
      dtype: run.dtype ?? 'f32',
      seed: 7,
      normalization: halfNormalization,
      tokenizerNormalization: halfNormalization,
      lr: cosineSchedule({ baseValue: lr, finalValue: 1e-5, epochs, stepsPerEpoch }),
      weightDecay: cosineSchedule({ baseValue: 0.05, finalValue: 0.05, epochs, stepsPerEpoch }),
      clip: 3,
      scaler: run.scaler,
      graph: run.graph,
    });
    run.onTask?.(task);
    await runTraining(task, {
      label: 'test',
      outputDir,
      expName: 'small',
      epochs,
      startEpoch: 0,
      stepsPerEpoch,
      updateFreq,
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
    optimizer.dispose();
    run.scaler?.dispose();
    tokenizer.dispose();
    model.dispose();
  }
  return said.join('');
}
