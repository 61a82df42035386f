import { UserError } from '../errors.js';
import { readAll, type Tensor } from '../tensor/tensor.js';
import type { TrainingBatch, TrainingTask } from './training-task.js';

/** A step whose numbers are still on their way from the device. */
interface PendingStep {
  readonly step: number;
  readonly epoch: number;
  readonly files: readonly string[];
  /** of what each micro-batch gives */
  readonly names: readonly string[];
  readonly tensors: readonly Tensor[];
  readonly values: ReturnType<typeof readAll>;
}

/** The numbers of a step that is over. */
export interface StepNumbers {
  readonly step: number;
  readonly epoch: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface StepsInFlightOptions {
  /** Micro-batches an optimizer step. */
  readonly updateFreq: number;
  /** The newest checkpoint, for messages; undefined where there is none. */
  readonly lastCheckpoint: () => string | undefined;
}

/** Optimizer steps that are queued on the device and not yet read, the oldest first. */
export class StepsInFlight<B extends TrainingBatch> {
  readonly #task: TrainingTask<B>;
  readonly #options: StepsInFlightOptions;
  readonly #steps: PendingStep[] = [];

  constructor(task: TrainingTask<B>, options: StepsInFlightOptions) {
    this.#task = task;
    this.#options = options;
  }

  get count(): number {
    return this.#steps.length;
  }

  /** Queues an optimizer step; nothing in it waits for the device. */
  async queue(step: number, epoch: number, batches: AsyncIterator<B>): Promise<void> {
    const parts = this.#options.updateFreq;
    const tensors: Tensor[] = [];
    const files: string[] = [];
    let names: string[] = [];
    for (let part = 0; part < parts; part++) {
      const next = await batches.next();
      if (next.done === true) throw new Error(`the loader ended epoch ${epoch} before its last step`);
      const batch = next.value;
      try {
        files.push(...batch.files);
        const metrics = this.#task.accumulate(batch, { globalStep: step, part, parts });
        names = Object.keys(metrics);
        tensors.push(...Object.values(metrics));
      } finally {
        batch.release();
      }
    }
    tensors.push(this.#task.update(step));
    const report = this.#task.scaler?.report() ?? null;
    if (report !== null) tensors.push(report);
    this.#steps.push({ step, epoch, files, names, tensors, values: readAll(tensors) });
  }

  /**
   * Waits for the oldest step's numbers.
   * @returns undefined where none is under way
   * @throws UserError for a number that is not finite
   */
  async settle(): Promise<StepNumbers | undefined> {
    const pending = this.#steps[0];
    if (pending === undefined) return undefined;
    const { step, epoch, names, tensors } = pending;
    const { scaler } = this.#task;
    const parts = this.#options.updateFreq;
    const read = await pending.values;
    const report = scaler?.enabled ? read.pop() : undefined;
    const scalars = read.map((data, i) => {
      // The gradient's norm follows the metrics of all micro-batches.
      const name = i < parts * names.length ? (names[i % names.length] as string) : 'grad_norm';
      return this.#task.measure?.(name, data) ?? Number(data[0]);
    });
    this.#steps.shift();
    for (const tensor of tensors) tensor.release();
    const values: Record<string, number> = {};
    names.forEach((name, i) => {
      let sum = 0;
      for (let part = 0; part < parts; part++) sum += scalars[part * names.length + i] ?? Number.NaN;
      values[name] = sum / parts;
    });
    const lossScale = report === undefined ? 1 : scaler!.settle(report);
    const norm = (scalars.at(-1) as number) / lossScale;
    Object.assign(values, this.#task.rates(step), { grad_norm: norm, loss_scale: lossScale });
    if (report !== undefined) values['skipped_steps'] = scaler!.state().skipped;
    this.#checkFinite(pending, values);
    if (scaler?.exhausted)
      throw this.#notFinite('the gradient is not finite at any loss scale', pending, lossScale);
    return { step, epoch, values };
  }

  /** Waits until the device is done with all steps, and forgets them. */
  async abandon(): Promise<void> {
    for (const { tensors, values } of this.#steps.splice(0)) {
      await values.catch(() => undefined);
      for (const tensor of tensors) tensor.release();
    }
  }

  #checkFinite(pending: PendingStep, values: Readonly<Record<string, number>>): void {
    // Gradients that overflow at a loss scale are expected: the step is skipped and the scale halved.
    const watched = this.#task.scaler?.enabled ? ['loss'] : ['loss', 'grad_norm'];
    const name = watched.find((key) => !Number.isFinite(values[key]));
    if (name !== undefined)
      throw this.#notFinite(`${name} is ${values[name]}`, pending, values['loss_scale'] ?? 1);
  }

  /** One line for numbers that are not finite. */
  #notFinite(what: string, { step, files }: PendingStep, lossScale: number): UserError {
    const folder = this.#options.lastCheckpoint();
    const good = folder === undefined ? 'no checkpoint was saved' : `last good checkpoint: ${folder}`;
    // 65504 is the largest number of fp16; bf16 has the range of fp32.
    const half = this.#task.scaler?.enabled
      ? ['in fp16', 'use --precision bf16, ', `, loss scale ${lossScale}`]
      : [];
    const [where = '', remedy = '', scale = ''] = half;
    return new UserError(
      `${what}${where && ` ${where}`} at step ${step}${scale}; ${good}; ${remedy}lower --lr or look at the batch's files: ${files.join(', ')}`,
    );
  }
}
