import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { saveCheckpoint } from '../checkpoint/run-folder.js';
import { UserError } from '../errors.js';
import type { MeterState } from '../logging/meters.js';
import type { ProgressStream } from '../logging/progress.js';
import type { Module, StateEntry } from '../nn/module.js';
import { type NumberArray, readAll, type Tensor } from '../tensor/tensor.js';
import {
  checkUnchanged,
  findResume,
  loadModel,
  modelFileName,
  optimizerFileName,
  tensorFile,
  withTensors,
} from './run-checkpoint.js';
import { RunLogs } from './run-logs.js';
import { StopSignals, stopSignalExitCodes } from './stop-signals.js';

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
  /** @param steps optimizer steps behind the state */
  loadOptimizerState(entries: Map<string, StateEntry>, steps: number): void;
}

/** How a run goes. */
export interface LoopOptions {
  /** What runs: `pretrain`. */
  readonly label: string;
  readonly outputDir: string;
  readonly logDir?: string | undefined;
  readonly expName: string;
  readonly epochs: number;
  /** First epoch of a run that does not resume. */
  readonly startEpoch: number;
  /** Optimizer steps an epoch. */
  readonly stepsPerEpoch: number;
  /** Micro-batches an optimizer step. */
  readonly updateFreq: number;
  readonly batchSize: number;
  /** Epochs between checkpoints. */
  readonly saveCkptFreq: number;
  /** Optimizer steps between checkpoints within an epoch. */
  readonly saveEverySteps?: number | undefined;
  /** Checkpoints to keep; all by default. */
  readonly keepLast?: number | undefined;
  readonly autoResume: boolean;
  readonly resume?: string | undefined;
  /** What a checkpoint says of the model, enough to build it again. */
  readonly model: JsonObject;
  /** What must be equal for a resumed run to continue the same computation. */
  readonly unchanged: JsonObject;
  /** The command's flags, kept in checkpoints for whoever reads them. */
  readonly args?: JsonObject | undefined;
  /** Where progress goes; standard error by default. */
  readonly stream?: ProgressStream | undefined;
}

/** A step whose numbers are still on their way from the device. */
interface PendingStep {
  readonly step: number;
  readonly epoch: number;
  readonly files: readonly string[];
  readonly names: readonly string[];
  readonly parts: number;
  readonly tensors: readonly Tensor[];
  readonly values: ReturnType<typeof readAll>;
}

/** How many steps the host may be ahead of what it has read: enough that the device never waits for it. */
const maxPending = 2;

/**
 * Runs a task to its last epoch: steps, logs, checkpoints, resume, signals. A run interrupted anywhere and started
 * again computes, to the bit, what an uninterrupted one does.
 *
 * @throws UserError for a loss that is not finite, for a stop by signal (exit status 130 or 143, after saving), and
 *   for whatever the system refuses
 */
export async function runTraining<B extends TrainingBatch>(
  task: TrainingTask<B>,
  options: LoopOptions,
): Promise<void> {
  await new TrainingRun(task, options).run();
}

class TrainingRun<B extends TrainingBatch> {
  readonly #task: TrainingTask<B>;
  readonly #options: LoopOptions;
  readonly #totalSteps: number;
  #globalStep: number;
  #pending: PendingStep[] = [];
  #lastSaved: { folder: string; step: number } | undefined;

  constructor(task: TrainingTask<B>, options: LoopOptions) {
    this.#task = task;
    this.#options = options;
    this.#totalSteps = options.epochs * options.stepsPerEpoch;
    this.#globalStep = options.startEpoch * options.stepsPerEpoch;
  }

  async run(): Promise<void> {
    const say = (line: string): void => {
      (this.#options.stream ?? process.stderr).write(`${line}\n`);
    };
    // From before the first batch: a stop during start-up also ends in order.
    using signals = new StopSignals();
    const meters = await this.#resume(say);
    using logs = this.#openLogs();
    logs.restore(meters);
    try {
      const { stepsPerEpoch, epochs } = this.#options;
      for (let epoch = Math.floor(this.#globalStep / stepsPerEpoch); epoch < epochs; epoch++) {
        await this.#epoch(epoch, logs, signals);
      }
    } finally {
      for (const { tensors, values } of this.#pending) {
        await values.catch(() => undefined);
        for (const tensor of tensors) tensor.release();
      }
    }
  }

  #openLogs(): RunLogs {
    const { label, outputDir, logDir, epochs, stepsPerEpoch, batchSize, updateFreq, stream } = this.#options;
    let parameterCount = 0;
    for (const parameter of this.#task.model.namedParameters().values()) {
      if (parameter.requiresGrad) parameterCount += parameter.size;
    }
    return new RunLogs({
      label,
      outputDir,
      logDir,
      epochs,
      stream,
      parameterCount,
      startStep: this.#globalStep,
      startEpoch: Math.floor(this.#globalStep / stepsPerEpoch),
      totalSteps: this.#totalSteps,
      imagesPerStep: batchSize * updateFreq,
    });
  }

  /** Loads the checkpoint to go on from, if there is one. @returns the meters of the epoch under way */
  async #resume(say: (line: string) => void): Promise<MeterState> {
    const checkpoint = await findResume(this.#options, say);
    if (checkpoint === undefined) return [];
    const { folder, globalStep, state } = checkpoint;
    checkUnchanged(folder, (state['unchanged'] ?? {}) as JsonObject, this.#options.unchanged);
    loadModel(folder, this.#task.model);
    withTensors(`${folder}/${optimizerFileName}`, (entries) => {
      this.#task.loadOptimizerState(entries, globalStep);
    });
    this.#globalStep = globalStep;
    this.#lastSaved = { folder, step: globalStep };
    const done = globalStep >= this.#totalSteps ? ': nothing is left to do' : '';
    say(`resumed from ${folder} at step ${globalStep} of ${this.#totalSteps}${done}`);
    return (state['meters'] ?? []) as unknown as MeterState;
  }

  async #epoch(epoch: number, logs: RunLogs, signals: StopSignals): Promise<void> {
    const { stepsPerEpoch, updateFreq, saveEverySteps, saveCkptFreq, epochs } = this.#options;
    const first = this.#globalStep - epoch * stepsPerEpoch;
    const batches = this.#task.batches(epoch, first * updateFreq)[Symbol.asyncIterator]();
    try {
      for (let i = first; i < stepsPerEpoch; i++) {
        await this.#step(epoch, batches);
        while (this.#pending.length >= maxPending) await this.#settle(logs);
        const ends = i + 1 === stepsPerEpoch;
        if (signals.received !== undefined && !ends) await this.#stop(epoch, logs, signals);
        if (!ends && saveEverySteps !== undefined && this.#globalStep % saveEverySteps === 0) {
          await this.#save(epoch, logs);
        }
      }
    } finally {
      await batches.return?.();
    }
    while (this.#pending.length > 0) await this.#settle(logs);
    logs.endEpoch(epoch);
    const last = epoch + 1 === epochs;
    const due = saveEverySteps !== undefined && this.#globalStep % saveEverySteps === 0;
    if (last || due || (epoch + 1) % saveCkptFreq === 0) await this.#save(epoch, logs);
    if (signals.received !== undefined && !last) await this.#stop(epoch, logs, signals);
  }

  /** Queues one optimizer step; nothing in it waits for the device. */
  async #step(epoch: number, batches: AsyncIterator<B>): Promise<void> {
    const parts = this.#options.updateFreq;
    const globalStep = this.#globalStep;
    const tensors: Tensor[] = [];
    const files: string[] = [];
    let names: string[] = [];
    for (let part = 0; part < parts; part++) {
      const next = await batches.next();
      if (next.done === true) throw new Error(`the loader ended epoch ${epoch} before its last step`);
      const batch = next.value;
      try {
        files.push(...batch.files);
        const metrics = this.#task.accumulate(batch, { globalStep, part, parts });
        names = Object.keys(metrics);
        tensors.push(...Object.values(metrics));
      } finally {
        batch.release();
      }
    }
    tensors.push(this.#task.update(globalStep));
    this.#pending.push({ step: globalStep, epoch, files, names, parts, tensors, values: readAll(tensors) });
    this.#globalStep += 1;
  }

  /** Waits for the oldest pending step's numbers, checks and logs them. */
  async #settle(logs: RunLogs): Promise<void> {
    const pending = this.#pending[0];
    if (pending === undefined) return;
    const { step, epoch, names, parts, tensors } = pending;
    const scalars = (await pending.values).map((data, i) => {
      // The gradient's norm follows the metrics of all micro-batches.
      const name = i < parts * names.length ? (names[i % names.length] as string) : 'grad_norm';
      return this.#task.measure?.(name, data) ?? Number(data[0]);
    });
    this.#pending.shift();
    for (const tensor of tensors) tensor.release();
    const values: Record<string, number> = {};
    names.forEach((name, i) => {
      let sum = 0;
      for (let part = 0; part < parts; part++) sum += scalars[part * names.length + i] ?? Number.NaN;
      values[name] = sum / parts;
    });
    Object.assign(values, this.#task.rates(step), { grad_norm: scalars.at(-1), loss_scale: 1 });
    this.#checkFinite(pending, values);
    logs.step({ step, epoch, values });
  }

  #checkFinite({ step, files }: PendingStep, values: Readonly<Record<string, number>>): void {
    const name = ['loss', 'grad_norm'].find((key) => !Number.isFinite(values[key]));
    if (name === undefined) return;
    const good =
      this.#lastSaved === undefined
        ? 'no checkpoint was saved'
        : `last good checkpoint: ${this.#lastSaved.folder}`;
    throw new UserError(
      `${name} is ${values[name]} at step ${step}; ${good}; lower --lr or look at the batch's files: ${files.join(', ')}`,
    );
  }

  /** Saves, once all steps behind the checkpoint are known to be finite. */
  async #save(epoch: number, logs: RunLogs): Promise<string> {
    while (this.#pending.length > 0) await this.#settle(logs);
    const globalStep = this.#globalStep;
    if (this.#lastSaved?.step === globalStep) return this.#lastSaved.folder;
    logs.sync();
    const { outputDir, expName, keepLast, model, unchanged, args = {} } = this.#options;
    const folder = await saveCheckpoint({
      root: outputDir,
      expName,
      tag: epoch,
      globalStep,
      epoch,
      state: { model, unchanged, args, meters: logs.meters.state() } as unknown as JsonObject,
      files: [
        tensorFile(modelFileName, this.#task.model.stateDict()),
        tensorFile(optimizerFileName, this.#task.optimizerState()),
      ],
      ...(keepLast === undefined ? {} : { keepLast }),
    });
    this.#lastSaved = { folder, step: globalStep };
    logs.say(`saved ${folder} at step ${globalStep}`);
    logs.restartClock();
    return folder;
  }

  async #stop(epoch: number, logs: RunLogs, signals: StopSignals): Promise<void> {
    const signal = signals.received;
    if (signal === undefined) return;
    const folder = await this.#save(epoch, logs);
    throw new UserError(
      `stopped by ${signal} after step ${this.#globalStep} of ${this.#totalSteps}; saved ${folder}; run the same command again to go on`,
      stopSignalExitCodes[signal],
    );
  }
}
