import type { Cae } from '../models/cae.js';
import { native } from '../native/addon.js';
import type { StateEntry } from '../nn/module.js';
import type { AdamW } from '../optim/adamw.js';
import type { GradientScaler } from '../optim/gradient-scaler.js';
import { reshape } from '../tensor/ops/pointwise.js';
import { elementsAt } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import { keep, scope } from '../tensor/scope.js';
import { noGrad, withTape } from '../tensor/tape.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';
import { InputRing } from './input-ring.js';
import type { StepPosition, TrainingBatch, TrainingTask } from './loop.js';
import { patchIds } from './patch-ids.js';
import { RecordedWork } from './recorded-work.js';

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
  /** The tokens of some rows of that table alone, i32 [B, M] -> [B, M], where this takes less work. */
  encodeAt?(images: Tensor, rows: Tensor): Tensor;
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

/** The shape of `batch` square pictures: [B, side, side, 3]. */
export function picturesShape(pixels: Uint8Array, batch: number): number[] {
  const side = Math.sqrt(pixels.length / (3 * batch));
  return [batch, side, side, 3];
}

/** Normalises views of a loader on the device that trains. */
export class ImageNormalizer {
  readonly #mean: Tensor;
  readonly #deviation: Tensor;

  constructor({ mean, deviation }: Normalization) {
    this.#mean = keep(Tensor.from(Float32Array.from(mean), [3]));
    this.#deviation = keep(Tensor.from(Float32Array.from(deviation), [3]));
  }

  /** u8 [B, side, side, 3] -> f32 [B, 3, side, side], or [B, side, side, 3] for convolutions. */
  normalize(pixels: Tensor, channelsLast: boolean): Tensor {
    const [mean, deviation] = [this.#mean.handle, this.#deviation.handle];
    return new Tensor(native.normalizeImages(pixels.handle, mean, deviation, channelsLast, 'f32'));
  }

  /**
   * The same of pictures that the host has.
   * @param batch B
   */
  apply(pixels: Uint8Array, batch: number, channelsLast: boolean): Tensor {
    return scope(() => this.normalize(Tensor.from(pixels, picturesShape(pixels, batch)), channelsLast));
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
  /** dtype of GEMMs and attention: f32, bf16, or f16 on CUDA. */
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
  /** Whether blocks keep only their inputs for the way back: less memory, more time. Default false. */
  readonly checkpoint?: boolean | undefined;
  /** Whether steps on CUDA are recorded as graphs and replayed; default true. The CPU records nothing. */
  readonly graph?: boolean | undefined;
}

/** What a step reads on the device. */
type PretrainInputs = Record<'pixels' | 'tokenizerPixels' | 'visible' | 'masked' | 'rows' | 'draw', Tensor>;

/** CAE pretraining: tokens of the masked patches from what the visible ones show (reference.md, sections 1 and 2). */
export class PretrainTask implements TrainingTask<PretrainBatch> {
  readonly model: Cae;
  readonly scaler: GradientScaler | undefined;
  readonly #options: PretrainOptions;
  readonly #images: ImageNormalizer;
  readonly #tokenizerImages: ImageNormalizer;
  readonly #ring = new InputRing<keyof PretrainInputs>();
  readonly #parameters: readonly Parameter[];
  /** of each micro-batch of a step: the first one's gradients overwrite, the others' are added */
  readonly #passes: RecordedWork<PretrainInputs, Record<string, Tensor>>[] = [];
  readonly #update: RecordedWork<Record<never, Tensor>, { norm: Tensor }>;

  constructor(options: PretrainOptions) {
    this.model = options.model;
    this.scaler = options.scaler;
    this.#options = options;
    this.#images = new ImageNormalizer(options.normalization);
    this.#tokenizerImages = new ImageNormalizer(options.tokenizerNormalization);
    this.#parameters = [...options.model.namedParameters().values()];
    const { optimizer, clip, scaler } = options;
    this.#update = this.#recorded(() => scope(() => ({ norm: optimizer.apply({ clip, scaler }) })));
  }

  batches(epoch: number, first: number): AsyncIterable<PretrainBatch> {
    return this.#options.batches(epoch, first);
  }

  accumulate(batch: PretrainBatch, { globalStep, part, parts }: StepPosition): Record<string, Tensor> {
    this.#passes[part] ??= this.#recorded((inputs: PretrainInputs) => this.#compute(inputs, parts));
    return this.#passes[part].run(this.#inputs(batch, globalStep * parts + part));
  }

  /** Whether the steps to come are replayed. */
  get recorded(): boolean {
    return this.#update.recorded && this.#passes.every((pass) => pass.recorded);
  }

  #recorded<I extends Record<string, Tensor>, O extends Record<string, Tensor>>(
    body: (inputs: I) => O,
  ): RecordedWork<I, O> {
    return new RecordedWork(body, { enabled: this.#options.graph !== false, parameters: this.#parameters });
  }

  /** @param draw number of the micro-batch in the run: each draws stochastic depth of its own */
  #inputs({ images, tokenizerImages, masks }: PretrainBatch, draw: number): PretrainInputs {
    const { batchSize, maskedPatches } = this.#options;
    const { visible, masked } = patchIds(masks, batchSize, maskedPatches);
    const visiblePatches = visible.length / batchSize;
    const patches = visiblePatches + maskedPatches;
    // Rows of the whole batch's table of tokens: each image's follow the one before.
    const rows = masked.map((id, i) => id + patches * Math.floor(i / maskedPatches));
    return this.#ring.put({
      pixels: { data: images, shape: picturesShape(images, batchSize) },
      tokenizerPixels: { data: tokenizerImages, shape: picturesShape(tokenizerImages, batchSize) },
      visible: { data: visible, shape: [batchSize, visiblePatches] },
      masked: { data: masked, shape: [batchSize, maskedPatches] },
      rows: { data: rows, shape: [batchSize, maskedPatches] },
      draw: { data: Int32Array.of(draw), shape: [1] },
    });
  }

  /** Forward and backward of what lies on the device, and nothing else: the same work for every batch. */
  #compute(inputs: PretrainInputs, parts: number): Record<string, Tensor> {
    const { dtype, seed, checkpoint = false } = this.#options;
    const { visible, masked } = inputs;
    return scope(() => {
      const labels = this.#labels(inputs);
      const images = this.#images.normalize(inputs.pixels, false);
      const pass = { dtype, dropPath: { seed, step: inputs.draw }, checkpoint };
      return withTape((tape) => {
        const { loss, lossMain, lossAlign, accuracy } = this.model.forward(
          { images, visible, masked, labels },
          pass,
        );
        tape.backward(loss, this.scaler?.seed(1 / parts) ?? 1 / parts);
        return { loss, loss_main: lossMain, loss_align: lossAlign, mlm_acc: accuracy };
      });
    });
  }

  /** Tokens of the masked patches, in mask order: i32 [B·M]. */
  #labels({ tokenizerPixels, rows }: PretrainInputs): Tensor {
    const { tokenizer } = this.#options;
    return noGrad(() =>
      scope(() => {
        const images = this.#tokenizerImages.normalize(tokenizerPixels, true);
        const tokens = tokenizer.encodeAt?.(images, rows) ?? elementsAt(tokenizer.encode(images), rows);
        return reshape(tokens, [rows.size]);
      }),
    );
  }

  update(globalStep: number): Tensor {
    const { optimizer, lr, weightDecay } = this.#options;
    optimizer.setRates({ lr: lr[globalStep] as number, weightDecay: weightDecay[globalStep] as number });
    return this.#update.run({}).norm;
  }

  rates(globalStep: number): Record<string, number> {
    const lr = this.#options.lr[globalStep] as number;
    return { lr, min_lr: lr, weight_decay: this.#options.weightDecay[globalStep] as number };
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
    this.#ring.dispose();
    for (const work of [this.#update, ...this.#passes]) work.dispose();
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
