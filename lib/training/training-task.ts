import type { Module, StateEntry } from '../nn/module.js';
import type { GradientScaler } from '../optim/gradient-scaler.js';
import type { NumberArray, Tensor } from '../tensor/tensor.js';

/** A batch as the loop sees it. */
export interface TrainingBatch {
  /** Files its pictures came from, for messages. */
  readonly files: readonly string[];
  /** Gives its buffers back. */
  release(): void;
}

/** Where a micro-batch stands. */
export interface StepPosition {
  /** Optimizer steps before this one, since the start of the run. */
  readonly globalStep: number;
  /** 0-based place among the micro-batches of this optimizer step. */
  readonly part: number;
  /** Micro-batches of an optimizer step: gradients are means over them. */
  readonly parts: number;
}

/** What a task gives the loop: one file a task, in this folder. */
export interface TrainingTask<B extends TrainingBatch> {
  readonly model: Module;
  /** Batches of an epoch in order, from number `first` on. */
  batches(epoch: number, first: number): AsyncIterable<B>;
  /** Forward and backward of a micro-batch. @returns what to log, owned by the caller; `loss` among it */
  accumulate(batch: B, position: StepPosition): Record<string, Tensor>;
  /** Turns a logged tensor into a number, where it is no scalar. Default: its first value. */
  measure?(name: string, data: NumberArray): number;
  /** Updates the weights. @returns the gradient's norm before clipping */
  update(globalStep: number): Tensor;
  /** Numbers of a step that the host knows, such as `lr`, in the order of `log.txt`. */
  rates(globalStep: number): Record<string, number>;
  /** Tensors of the optimizer, by the names they are saved under. */
  optimizerState(): Map<string, Tensor>;
  /** The loss scale of half-precision runs; absent: 1. */
  readonly scaler?: GradientScaler | undefined;
  /** @param steps optimizer steps behind the state */
  loadOptimizerState(entries: Map<string, StateEntry>, steps: number): void;
  /** A running average of the weights, saved beside them. */
  readonly average?: SavedWeights | undefined;
  /**
   * Measures the model after an epoch, where there is something to measure it on.
   * @param stopped says whether to break off
   * @returns numbers for the log, without their `test_`; undefined if it broke off
   */
  evaluate?(epoch: number, stopped: () => boolean): Promise<TestNumbers | undefined>;
}

/** Weights that a checkpoint holds in a file of their own. */
export interface SavedWeights {
  stateDict(): Map<string, Tensor>;
  /** @throws Error where one is missing or of another shape */
  load(entries: ReadonlyMap<string, StateEntry>): void;
}

/** What an evaluation finds: `loss`, `acc1` [%], `acc5` [%], … */
export type TestNumbers = Readonly<Record<string, number> & { acc1: number }>;
