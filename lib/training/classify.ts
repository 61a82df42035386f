import type { Pass } from '../nn/block.js';
import type { Module, StateEntry } from '../nn/module.js';
import type { WeightAverage } from '../optim/ema.js';
import type { GradientScaler } from '../optim/gradient-scaler.js';
import type { Optimizer } from '../optim/optimizer.js';
import { labelRanks, softCrossEntropy } from '../tensor/ops/class-loss.js';
import type { Parameter } from '../tensor/parameter.js';
import { scope } from '../tensor/scope.js';
import { withTape } from '../tensor/tape.js';
import { type Dtype, type NumberArray, Tensor } from '../tensor/tensor.js';
import { outputs } from './outputs.js';
import { RecordedWork } from './recorded-work.js';
import { loadOptimizer } from './run-checkpoint.js';
import { Scores } from './scores.js';
import type { StepPosition, TestNumbers, TrainingBatch, TrainingTask } from './training-task.js';

/** A batch of labelled pictures, or of what a frozen encoder made of them. */
export interface LabelledBatch extends TrainingBatch {
  readonly size: number;
  /** Class of each. */
  readonly labels: Int32Array;
}

/** How a classifier sees the batches of a data set. */
export interface ClassifierView<B extends LabelledBatch> {
  /** @returns what training sees of a batch, and the distributions it trains towards, f32 [B, classes] */
  inputs(batch: B): { x: Tensor; targets: Tensor };
  /** @returns f32 logits [B, classes] of `inputs`' x. Kernels alone: see RecordedWork. */
  train(x: Tensor, pass: Pass): Tensor;
  /** @returns f32 logits [B, classes] */
  test(batch: B, pass: Pass): Tensor;
}

/** What training a classifier needs, built from the flags by the command. */
export interface ClassifyOptions<B extends LabelledBatch> {
  readonly model: Module;
  readonly classes: number;
  readonly view: ClassifierView<B>;
  readonly optimizer: Optimizer;
  readonly batches: (epoch: number, first: number) => AsyncIterable<B>;
  /** The pictures to measure on after epochs; absent: none. */
  readonly testBatches?: (() => AsyncIterable<B>) | undefined;
  /** Whether pictures are mixed: then no accuracy is logged of them. */
  readonly mixed: boolean;
  readonly dtype: Dtype;
  /** Seed of stochastic depth. */
  readonly seed: number;
  /** Learning rate and weight decay of each global step. */
  readonly lr: Float64Array;
  readonly weightDecay: Float64Array;
  /** Least factor on the learning rate over the parameter groups; 1 without layer decay. */
  readonly leastScale: number;
  readonly clip?: number | undefined;
  /** Whether blocks keep only their inputs for the way back: less memory, more time. Default false. */
  readonly checkpoint?: boolean | undefined;
  /** Whether steps on CUDA are recorded as graphs and replayed; default true. The CPU records nothing. */
  readonly graph?: boolean | undefined;
  /** Loss scale of an f16 run; absent: 1. */
  readonly scaler?: GradientScaler | undefined;
  readonly average?: WeightAverage | undefined;
}

/** What a step reads on the device; `labels` where an accuracy is logged. */
type ClassifyInputs = Record<'x' | 'targets' | 'draw', Tensor> & { labels?: Tensor };

/** Training of a classifier: fine-tuning, and the probes over a frozen encoder (reference.md, section 4). */
export class ClassifyTask<B extends LabelledBatch> implements TrainingTask<B> {
  readonly model: Module;
  readonly average: WeightAverage | undefined;
  readonly scaler: GradientScaler | undefined;
  readonly evaluate?: (epoch: number, stopped: () => boolean) => Promise<TestNumbers | undefined>;
  readonly #options: ClassifyOptions<B>;
  readonly #parameters: readonly Parameter[];
  /** of each micro-batch of a step: the first one's gradients overwrite, the others' are added */
  readonly #passes: RecordedWork<ClassifyInputs, Record<string, Tensor>>[] = [];
  readonly #update: RecordedWork<Record<never, Tensor>, { norm: Tensor }>;
  #scores: Scores | undefined;

  constructor(options: ClassifyOptions<B>) {
    this.model = options.model;
    this.#parameters = [...options.model.namedParameters().values()];
    this.average = options.average;
    this.scaler = options.scaler;
    this.#options = options;
    const { testBatches, optimizer, clip, scaler, average } = options;
    this.#update = this.#recorded(() =>
      scope(() => ({ norm: averaged(optimizer.apply({ clip, scaler }), average) })),
    );
    if (testBatches !== undefined) {
      this.evaluate = (_epoch, stopped) => this.#measure(testBatches, stopped);
    }
  }

  /** What the last evaluation of the weights found. */
  get scores(): Scores | undefined {
    return this.#scores;
  }

  batches(epoch: number, first: number): AsyncIterable<B> {
    return this.#options.batches(epoch, first);
  }

  accumulate(batch: B, { globalStep, part, parts }: StepPosition): Record<string, Tensor> {
    const { view, mixed } = this.#options;
    this.#passes[part] ??= this.#recorded((inputs: ClassifyInputs) => this.#compute(inputs, parts));
    const pass = this.#passes[part];
    return scope(() => {
      // Micro-batches of a step draw their own stochastic depth.
      const draw = Tensor.from(Int32Array.of(globalStep * parts + part), [1]);
      const inputs: ClassifyInputs = { ...view.inputs(batch), draw };
      if (!mixed) inputs.labels = Tensor.from(batch.labels, [batch.size]);
      return pass.run(inputs);
    });
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

  /** Forward and backward of what lies on the device, and nothing else: the same work for every batch. */
  #compute({ x, targets, draw, labels }: ClassifyInputs, parts: number): Record<string, Tensor> {
    const { view, dtype, seed, checkpoint = false } = this.#options;
    return scope(() =>
      withTape((tape) => {
        const logits = view.train(x, { dtype, dropPath: { seed, step: draw }, checkpoint });
        const loss = softCrossEntropy(logits, targets);
        tape.backward(loss, this.scaler?.seed(1 / parts) ?? 1 / parts);
        return labels === undefined ? { loss } : { loss, class_acc: labelRanks(logits, labels) };
      }),
    );
  }

  /** `class_acc`: the share of pictures whose class is the first. */
  measure(name: string, data: NumberArray): number {
    if (name !== 'class_acc') return Number(data[0]);
    let right = 0;
    for (const rank of data) right += rank === 0 ? 1 : 0;
    return right / data.length;
  }

  update(globalStep: number): Tensor {
    const { optimizer, lr, weightDecay } = this.#options;
    optimizer.setRates({
      lr: lr[globalStep] as number,
      weightDecay: weightDecay[globalStep] as number,
    });
    return this.#update.run({}).norm;
  }

  rates(globalStep: number): Record<string, number> {
    const { lr, weightDecay, leastScale } = this.#options;
    const rate = lr[globalStep] as number;
    return { lr: rate, min_lr: rate * leastScale, weight_decay: weightDecay[globalStep] as number };
  }

  optimizerState(): Map<string, Tensor> {
    return this.#options.optimizer.state();
  }

  loadOptimizerState(entries: Map<string, StateEntry>, steps: number): void {
    loadOptimizer(this.#options.optimizer, entries, steps);
  }

  /** Gives back what the task itself holds; model, optimizer and average are the caller's. */
  dispose(): void {
    this.#update.dispose();
    for (const pass of this.#passes) pass.dispose();
  }

  async #measure(
    testBatches: () => AsyncIterable<B>,
    stopped: () => boolean,
  ): Promise<TestNumbers | undefined> {
    const { view, classes, dtype, average } = this.#options;
    const score = (): Promise<Scores | undefined> =>
      scoreBatches({ batches: testBatches(), view, classes, dtype, stopped });
    this.#scores = await score();
    const numbers = this.#scores?.numbers();
    if (numbers === undefined || average === undefined) return numbers;
    average.swap();
    let averaged: TestNumbers | undefined;
    try {
      averaged = (await score())?.numbers();
    } finally {
      average.swap();
    }
    if (averaged === undefined) return undefined;
    const named = Object.entries(averaged).map(([name, value]) => [`ema_${name}`, value]);
    return { ...numbers, ...(Object.fromEntries(named) as Record<string, number>) };
  }
}

/** Takes the weights that an update has made into their average. @returns what the update returned */
function averaged(norm: Tensor, average: WeightAverage | undefined): Tensor {
  average?.update();
  return norm;
}

/** What to score, and how. */
export interface ScoreOptions<B extends LabelledBatch> {
  readonly batches: AsyncIterable<B>;
  readonly view: Pick<ClassifierView<B>, 'test'>;
  readonly classes: number;
  readonly dtype: Dtype;
  /** Says whether to break off. */
  readonly stopped?: () => boolean;
  /** Called with the pictures seen so far. */
  readonly onProgress?: (pictures: number) => void;
}

/** Scores a classifier on a data set. @returns undefined if it was broken off */
export async function scoreBatches<B extends LabelledBatch>(
  options: ScoreOptions<B>,
): Promise<Scores | undefined> {
  const { batches, view, classes, dtype, stopped, onProgress } = options;
  const scores = new Scores(classes);
  const pass: Pass = { dtype, dropPath: null };
  for await (const { batch, data } of outputs(batches, (one: B) => view.test(one, pass))) {
    scores.add(data, batch.labels);
    onProgress?.(scores.count);
    if (stopped?.() === true) return undefined;
  }
  return scores;
}
