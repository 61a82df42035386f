import type { Module, StateEntry } from '../nn/module.js';
import type { AdamW } from '../optim/adamw.js';
import { scope } from '../tensor/scope.js';
import { withTape } from '../tensor/tape.js';
import type { NumberArray, Tensor } from '../tensor/tensor.js';
import type { StepPosition, TrainingBatch, TrainingTask } from './loop.js';
import { halfNormalization, ImageNormalizer, loadAdamw } from './pretrain.js';

/** What a discrete VAE's training pass is told. */
export interface TokenizerPass {
  /** Of the gumbel-softmax. */
  readonly temperature: number;
  /** Gumbel noise is a function of both. */
  readonly seed: number;
  readonly step: number;
}

/** What it gives: scalars, and the tokens it would choose, i32. */
export interface TokenizerLosses {
  readonly loss: Tensor;
  readonly lossReconstruction: Tensor;
  readonly lossKl: Tensor;
  readonly tokens: Tensor;
}

/** A discrete VAE that can be trained. */
export interface TrainableTokenizer extends Module {
  /** Called once, with the first batch, before the first step. */
  spreadTokens(images: Tensor, seed: number): void;
  /** @param images f32 [B, S, S, 3], normalised by mean and deviation 0.5 */
  trainingLosses(images: Tensor, pass: TokenizerPass): TokenizerLosses;
}

/** A batch of pictures alone. */
export interface TokenizerBatch extends TrainingBatch {
  /** One: u8 [B, S, S, 3]. */
  readonly views: readonly Uint8Array[];
}

export interface TrainTokenizerOptions {
  readonly model: TrainableTokenizer;
  readonly optimizer: AdamW;
  readonly batches: (epoch: number, first: number) => AsyncIterable<TokenizerBatch>;
  readonly batchSize: number;
  /** Entries of the codebook. */
  readonly vocabulary: number;
  readonly seed: number;
  /** Learning rate and gumbel-softmax temperature of each global step. */
  readonly lr: Float64Array;
  readonly temperature: Float64Array;
  readonly weightDecay: number;
  /** Smallest of the groups' factors on the learning rate, for the logs; default 1. */
  readonly leastLrScale?: number;
  readonly clip?: number | undefined;
}

/** Trains the customized tokenizer: reconstruction through gumbel-softmax codes, its temperature falling. */
export class TrainTokenizerTask implements TrainingTask<TokenizerBatch> {
  readonly model: TrainableTokenizer;
  readonly #options: TrainTokenizerOptions;
  readonly #images = new ImageNormalizer(halfNormalization);

  constructor(options: TrainTokenizerOptions) {
    this.model = options.model;
    this.#options = options;
  }

  batches(epoch: number, first: number): AsyncIterable<TokenizerBatch> {
    return this.#options.batches(epoch, first);
  }

  accumulate(batch: TokenizerBatch, { globalStep, part, parts }: StepPosition): Record<string, Tensor> {
    const { batchSize, seed, temperature } = this.#options;
    return scope(() => {
      const images = this.#images.apply(batch.views[0] as Uint8Array, batchSize, true);
      if (globalStep === 0 && part === 0) this.model.spreadTokens(images, seed);
      return withTape((tape) => {
        const { loss, lossReconstruction, lossKl, tokens } = this.model.trainingLosses(images, {
          temperature: temperature[globalStep] as number,
          seed,
          step: globalStep * parts + part,
        });
        tape.backward(loss, 1 / parts);
        return { loss, loss_reconstruction: lossReconstruction, loss_kl: lossKl, codebook_usage: tokens };
      });
    });
  }

  /** `codebook_usage`: the share of the codebook that a batch's tokens use. */
  measure(name: string, data: NumberArray): number {
    return name === 'codebook_usage' ? codebookUsage(data, this.#options.vocabulary) : Number(data[0]);
  }

  update(globalStep: number): Tensor {
    const { optimizer, lr, weightDecay, clip } = this.#options;
    return scope(() =>
      optimizer.update({
        lr: lr[globalStep] as number,
        weightDecay,
        ...(clip === undefined ? {} : { clip }),
      }),
    );
  }

  rates(globalStep: number): Record<string, number> {
    const { lr, temperature, weightDecay, leastLrScale = 1 } = this.#options;
    const rate = lr[globalStep] as number;
    return {
      temperature: temperature[globalStep] as number,
      lr: rate,
      min_lr: rate * leastLrScale,
      weight_decay: weightDecay,
    };
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
  }
}

/** Distinct tokens over the entries of the codebook, 0 to 1. */
export function codebookUsage(tokens: ArrayLike<number>, vocabulary: number): number {
  return new Set(Array.from(tokens)).size / vocabulary;
}
