import type { Cae } from '../models/cae.js';
import { native } from '../native/addon.js';
import type { StateEntry } from '../nn/module.js';
import type { AdamW } from '../optim/adamw.js';
import type { GradientScaler } from '../optim/gradient-scaler.js';
import { keep, scope } from '../tensor/scope.js';
import { noGrad, withTape } from '../tensor/tape.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';
import type { StepPosition, TrainingBatch, TrainingTask } from './loop.js';
import { patchIds } from './patch-ids.js';

/** A pretraining batch of the loader: two views of the same crops, and the masks. */
export interface PretrainBatch extends TrainingBatch {
  /** u8 [B, S, S, 3] */
  readonly images: Uint8Array;
  /** u8 [B, T, T, 3] */
  readonly tokenizerImages: Uint8Array;
  /** u8 [B, N], 1 = masked, the same number in each */
  readonly masks: Uint8Array;
}

/** What gives pretraining its targets. */
export interface TargetTokenizer {
  /** f32 [B, T, T, 3], normalised -> i32 tokens, B × the grid in raster order */
  encode(images: Tensor): Tensor;
}

/** How pixels in [0, 1] are normalised: (x − mean)/deviation. */
export interface Normalization {
  readonly mean: readonly [number, number, number];
  readonly deviation: readonly [number, number, number];
}

/** Mean and deviation 0.5, the reference's default and the customized tokenizer's. */
export const halfNormalization: Normalization = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };
export const imagenetNormalization: Normalization = {
  mean: [0.485, 0.456, 0.406],
  deviation: [0.229, 0.224, 0.225],
};
/** The DALL-E tokenizer's 0.8x + 0.1. */
export const dalleNormalization: Normalization = {
  mean: [-0.125, -0.125, -0.125],
  deviation: [1.25, 1.25, 1.25],
};

/** Normalises views of a loader on the device that trains. */
export class ImageNormalizer {
  readonly #mean: Tensor;
  readonly #deviation: Tensor;

  constructor({ mean, deviation }: Normalization) {
    this.#mean = keep(Tensor.from(Float32Array.from(mean), [3]));
    this.#deviation = keep(Tensor.from(Float32Array.from(deviation), [3]));
  }

  /**
   * u8 [B, side, side, 3] -> f32 [B, 3, side, side], or [B, side, side, 3] for convolutions.
   * @param batch B
   */
  apply(pixels: Uint8Array, batch: number, channelsLast: boolean): Tensor {
    return scope(() => {
      const side = Math.sqrt(pixels.length / (3 * batch));
      const raw = Tensor.from(pixels, [batch, side, side, 3]);
      const [mean, deviation] = [this.#mean.handle, this.#deviation.handle];
      return new Tensor(native.normalizeImages(raw.handle, mean, deviation, channelsLast, 'f32'));
    });
  }

  dispose(): void {
    this.#mean.release();
    this.#deviation.release();
  }
}

/** What pretraining needs, built from the flags by the command. */
export interface PretrainOptions {
  readonly model: Cae;
  readonly tokenizer: TargetTokenizer;
  readonly optimizer: AdamW;
  readonly batches: (epoch: number, first: number) => AsyncIterable<PretrainBatch>;
  readonly batchSize: number;
  /** Patches masked in each picture. */
  readonly maskedPatches: number;
  /** dtype of GEMMs and attention: f32 or bf16. */
  readonly dtype: Dtype;
  /** Seed of stochastic depth. */
  readonly seed: number;
  readonly normalization: Normalization;
  readonly tokenizerNormalization: Normalization;
  /** Learning rate and weight decay of each global step. */
  readonly lr: Float64Array;
  readonly weightDecay: Float64Array;
  /** Largest gradient norm; absent for no clipping. */
  readonly clip?: number | undefined;
  /** Loss scale of an f16 run; absent: 1. */
  readonly scaler?: GradientScaler | undefined;
}

/** CAE pretraining: tokens of the masked patches from what the visible ones show (reference.md, sections 1 and 2). */
export class PretrainTask implements TrainingTask<PretrainBatch> {
  readonly model: Cae;
  readonly scaler: GradientScaler | undefined;
  readonly #options: PretrainOptions;
  readonly #images: ImageNormalizer;
  readonly #tokenizerImages: ImageNormalizer;

  constructor(options: PretrainOptions) {
    this.model = options.model;
    this.scaler = options.scaler;
    this.#options = options;
    this.#images = new ImageNormalizer(options.normalization);
    this.#tokenizerImages = new ImageNormalizer(options.tokenizerNormalization);
  }

  batches(epoch: number, first: number): AsyncIterable<PretrainBatch> {
    return this.#options.batches(epoch, first);
  }

  accumulate(batch: PretrainBatch, { globalStep, part, parts }: StepPosition): Record<string, Tensor> {
    const { batchSize, maskedPatches, dtype, seed } = this.#options;
    return scope(() => {
      const ids = patchIds(batch.masks, batchSize, maskedPatches);
      const visible = Tensor.from(ids.visible, [batchSize, ids.visible.length / batchSize]);
      const masked = Tensor.from(ids.masked, [batchSize, maskedPatches]);
      const labels = this.#labels(batch, ids.masked);
      const images = this.#images.apply(batch.images, batchSize, false);
      // Micro-batches of a step draw their own stochastic depth.
      const pass = { dtype, dropPath: { seed, step: globalStep * parts + part } };
      return withTape((tape) => {
        const { loss, lossMain, lossAlign, accuracy } = this.model.forward(
          { images, visible, masked, labels },
          pass,
        );
        tape.backward(loss, (this.scaler?.scale ?? 1) / parts);
        return { loss, loss_main: lossMain, loss_align: lossAlign, mlm_acc: accuracy };
      });
    });
  }

  /** Tokens of the masked patches, in mask order: i32 [B·M]. */
  #labels({ tokenizerImages }: PretrainBatch, masked: Int32Array): Tensor {
    const { batchSize, maskedPatches, tokenizer } = this.#options;
    return noGrad(() =>
      scope(() => {
        const tokens = tokenizer.encode(this.#tokenizerImages.apply(tokenizerImages, batchSize, true));
        const perImage = tokens.size / batchSize;
        // Rows of the whole batch's table of tokens: each image's follow the one before.
        const rows = masked.map((id, i) => id + perImage * Math.floor(i / maskedPatches));
        const table = new Tensor(native.reshape(tokens.handle, [tokens.size, 1]));
        const ids = Tensor.from(rows, [batchSize, maskedPatches]);
        const gathered = new Tensor(native.gatherRows(table.handle, ids.handle, 0));
        return new Tensor(native.reshape(gathered.handle, [batchSize * maskedPatches]));
      }),
    );
  }

  update(globalStep: number): Tensor {
    const { optimizer, lr, weightDecay, clip } = this.#options;
    return scope(() =>
      optimizer.update({
        lr: lr[globalStep] as number,
        weightDecay: weightDecay[globalStep] as number,
        gradientScale: 1 / (this.scaler?.scale ?? 1),
        ...(clip === undefined ? {} : { clip }),
      }),
    );
  }

  rates(globalStep: number): Record<string, number> {
    const lr = this.#options.lr[globalStep] as number;
    return { lr, min_lr: lr, weight_decay: this.#options.weightDecay[globalStep] as number };
  }

  skipped(): void {
    this.#options.optimizer.step -= 1;
  }

  optimizerState(): Map<string, Tensor> {
    return this.#options.optimizer.state();
  }

  loadOptimizerState(entries: Map<string, StateEntry>, steps: number): void {
    loadAdamw(this.#options.optimizer, entries, steps);
  }

  /** Gives back what the task itself holds; model and optimizer are the caller's. */
  dispose(): void {
    this.#images.dispose();
    this.#tokenizerImages.dispose();
  }
}

/** Takes up AdamW's saved moments. @throws Error where one is missing */
export function loadAdamw(optimizer: AdamW, entries: Map<string, StateEntry>, steps: number): void {
  optimizer.load((name) => {
    const entry = entries.get(name);
    if (entry === undefined) throw new Error(`the optimizer's file lacks ${name}`);
    return entry.data;
  }, steps);
}
