import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { FolderLock } from '../checkpoint/folder-lock.js';
import { bestTag, saveCheckpoint } from '../checkpoint/run-folder.js';
import { UserError } from '../errors.js';
import type { MeterState } from '../logging/meters.js';
import type { ProgressStream } from '../logging/progress.js';
import type { ScalerState } from '../optim/gradient-scaler.js';
import { type PrimedBatches, primeBatches } from './batches.js';
import { checkSameModel } from './model-checks.js';
import {
  averageFileName,
  checkUnchanged,
  findResume,
  loadModel,
  modelFileName,
  optimizerFileName,
  refuseOccupied,
  tensorFile,
  withTensors,
} from './run-checkpoint.js';
import { RunLogs } from './run-logs.js';
import { StepsInFlight } from './steps-in-flight.js';
import { StopSignals, stopSignalExitCodes } from './stop-signals.js';
import type { TestNumbers, TrainingBatch, TrainingTask } from './training-task.js';

export type { StepPosition, TrainingBatch, TrainingTask } from './training-task.js';

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
  /** Epochs between evaluations, for tasks that have one; default 1. The last epoch has one in any case. */
  readonly evalFreq?: number | undefined;
  /** Whether to save checkpoints at all; default true. */
  readonly saveCkpt?: boolean | undefined;
  /** Whether the checkpoint with the best `test_acc1` is kept under the name `best`; default true. */
  readonly saveBest?: boolean | undefined;
  readonly autoResume: boolean;
  readonly resume?: string | undefined;
  /** What a checkpoint says of the model, enough to build it again. */
  readonly model: JsonObject;
  /** What must be equal for a resumed run to continue the same computation. */
  readonly unchanged: JsonObject;
  /** The command's flags, kept in checkpoints for whoever reads them. */
  readonly args?: JsonObject | undefined;
  /** Said before the first step, when all is known to be in order: the table of parameters. */
  readonly intro?: string | undefined;
  /** Where progress goes; standard error by default. */
  readonly stream?: ProgressStream | undefined;
}

/** How many steps the host may be ahead of what it has read: enough that the device never waits for it. */
const maxPending = 2;

/**
 * Runs a task to its last epoch: steps, logs, checkpoints, resume, signals. A run interrupted anywhere and started
 * again computes, to the bit, what an uninterrupted one does.
 *
 * @throws UserError for a folder that another process writes to, for a loss that is not finite, for a stop by signal
 *   (exit status 130 or 143, after saving), and for whatever the system refuses
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
  readonly #steps: StepsInFlight<B>;
  #lastSaved: { folder: string; step: number } | undefined;
  /** Best `test_acc1` so far [%]. */
  #maxAccuracy = Number.NEGATIVE_INFINITY;

  constructor(task: TrainingTask<B>, options: LoopOptions) {
    this.#task = task;
    this.#options = options;
    this.#totalSteps = options.epochs * options.stepsPerEpoch;
    this.#globalStep = options.startEpoch * options.stepsPerEpoch;
    const { updateFreq } = options;
    this.#steps = new StepsInFlight(task, { updateFreq, lastCheckpoint: () => this.#lastSaved?.folder });
  }

  async run(): Promise<void> {
    const say = (line: string): void => {
      (this.#options.stream ?? process.stderr).write(`${line}\n`);
    };
    // From before the first batch: a stop during start-up also ends in order.
    using signals = new StopSignals();
    using lock = new FolderLock(this.#options.outputDir);
    const meters = await this.#resume(say);
    const { stepsPerEpoch, epochs, intro } = this.#options;
    let epoch = Math.floor(this.#globalStep / stepsPerEpoch);
    // A first batch that cannot be read, as in a folder of broken files, ends the run before it writes anything.
    const primed = epoch < epochs ? await primeBatches(this.#batches(epoch)) : undefined;
    // A run stopped while it was measured has an epoch's steps behind it, and their means still to log.
    const unended = meters.length > 0 && this.#globalStep === epoch * stepsPerEpoch;
    try {
      lock.take();
      using logs = this.#openLogs(unended ? epoch - 1 : epoch);
      logs.restore(meters);
      if (intro !== undefined) say(intro);
      if (unended) await this.#endEpoch(epoch - 1, logs, signals);
      for (let batches = primed; epoch < epochs; epoch++, batches = undefined) {
        await this.#epoch(epoch, batches ?? (await primeBatches(this.#batches(epoch))), logs, signals);
      }
    } finally {
      await primed?.return();
      await this.#steps.abandon();
    }
  }

  #openLogs(startEpoch: number): RunLogs {
    const { label, outputDir, logDir, epochs, batchSize, updateFreq, stream } = this.#options;
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
      anew: this.#lastSaved === undefined,
      startStep: this.#globalStep,
      startEpoch,
      totalSteps: this.#totalSteps,
      imagesPerStep: batchSize * updateFreq,
    });
  }

  /** Loads the checkpoint to go on from, if there is one. @returns the meters of the epoch under way */
  async #resume(say: (line: string) => void): Promise<MeterState> {
    const { outputDir, expName, autoResume, saveCkpt } = this.#options;
    if (!autoResume && saveCkpt !== false) refuseOccupied(outputDir, expName);
    const checkpoint = await findResume(this.#options, say);
    if (checkpoint === undefined) return [];
    const { folder, globalStep, state } = checkpoint;
    checkUnchanged(folder, (state['unchanged'] ?? {}) as JsonObject, this.#options.unchanged);
    loadModel(folder, this.#task.model);
    checkSameModel(folder, state, this.#options.model);
    const { scaler } = this.#task;
    if (scaler?.enabled) scaler.load((state['scaler'] ?? {}) as Partial<ScalerState>);
    withTensors(`${folder}/${optimizerFileName}`, (entries) => {
      this.#task.loadOptimizerState(entries, globalStep - (scaler?.state().skipped ?? 0));
    });
    const { average } = this.#task;
    if (average !== undefined)
      withTensors(`${folder}/${averageFileName}`, (entries) => average.load(entries));
    this.#globalStep = globalStep;
    this.#lastSaved = { folder, step: globalStep };
    this.#maxAccuracy = Number(state['max_accuracy'] ?? Number.NEGATIVE_INFINITY);
    const meters = (state['meters'] ?? []) as unknown as MeterState;
    const done = globalStep >= this.#totalSteps && meters.length === 0 ? ': nothing is left to do' : '';
    say(`resumed from ${folder} at step ${globalStep} of ${this.#totalSteps}${done}`);
    return meters;
  }

  /** Batches of an epoch from the next step's on. */
  #batches(epoch: number): AsyncIterable<B> {
    const { stepsPerEpoch, updateFreq } = this.#options;
    return this.#task.batches(epoch, (this.#globalStep - epoch * stepsPerEpoch) * updateFreq);
  }

  async #epoch(epoch: number, batches: PrimedBatches<B>, logs: RunLogs, signals: StopSignals): Promise<void> {
    const { stepsPerEpoch, saveEverySteps } = this.#options;
    try {
      for (let i = this.#globalStep - epoch * stepsPerEpoch; i < stepsPerEpoch; i++) {
        await this.#steps.queue(this.#globalStep, epoch, batches);
        this.#globalStep += 1;
        while (this.#steps.count >= maxPending) await this.#settle(logs);
        const ends = i + 1 === stepsPerEpoch;
        if (signals.received !== undefined && !ends) await this.#stop(epoch, logs, signals);
        if (!ends && saveEverySteps !== undefined && this.#globalStep % saveEverySteps === 0) {
          await this.#save(epoch, logs);
        }
      }
    } finally {
      await batches.return();
    }
    while (this.#steps.count > 0) await this.#settle(logs);
    await this.#endEpoch(epoch, logs, signals);
  }

  /** Measures, logs and saves what is due after an epoch's steps. */
  async #endEpoch(epoch: number, logs: RunLogs, signals: StopSignals): Promise<void> {
    const { saveEverySteps, saveCkptFreq, evalFreq, epochs } = this.#options;
    const measures = epoch + 1 === epochs || (epoch + 1) % (evalFreq ?? 1) === 0;
    const test = measures ? await this.#evaluate(epoch, logs, signals) : undefined;
    // Broken off: the epoch's end is left to the run that goes on from here.
    if (measures && test === undefined && this.#task.evaluate !== undefined) {
      await this.#stop(epoch, logs, signals);
    }
    logs.endEpoch(epoch, this.#globalStep - 1, test);
    if (test !== undefined && test.acc1 > this.#maxAccuracy) {
      this.#maxAccuracy = test.acc1;
      if (this.#options.saveBest !== false) await this.#write(bestTag, epoch, logs);
    }
    const last = epoch + 1 === epochs;
    const due = saveEverySteps !== undefined && this.#globalStep % saveEverySteps === 0;
    if (last || due || (epoch + 1) % saveCkptFreq === 0) await this.#save(epoch, logs);
    if (signals.received !== undefined && !last) await this.#stop(epoch, logs, signals);
  }

  /** Evaluates; where that fails, as over an unreadable picture, the epoch's steps are saved and only it is made again. */
  async #evaluate(epoch: number, logs: RunLogs, signals: StopSignals): Promise<TestNumbers | undefined> {
    try {
      return await this.#task.evaluate?.(epoch, () => signals.received !== undefined);
    } catch (error) {
      // What went wrong first is what the run ends with.
      await this.#save(epoch, logs).catch((failure: unknown) => logs.say(`nothing was saved: ${failure}`));
      throw error;
    }
  }

  /** Waits for the oldest step under way and logs its numbers. */
  async #settle(logs: RunLogs): Promise<void> {
    const numbers = await this.#steps.settle();
    if (numbers !== undefined) logs.step(numbers);
  }

  /** Saves, once all steps behind the checkpoint are known to be finite. @returns the folder, if there is one */
  async #save(epoch: number, logs: RunLogs): Promise<string | undefined> {
    while (this.#steps.count > 0) await this.#settle(logs);
    const step = this.#globalStep;
    if (this.#lastSaved?.step === step) return this.#lastSaved.folder;
    const folder = await this.#write(epoch, epoch, logs);
    if (folder !== undefined) this.#lastSaved = { folder, step };
    return folder;
  }

  /** Writes a checkpoint under a tag, unless the run saves none. */
  async #write(tag: number | typeof bestTag, epoch: number, logs: RunLogs): Promise<string | undefined> {
    const { outputDir, expName, keepLast, model, unchanged, args = {}, saveCkpt } = this.#options;
    if (saveCkpt === false) return undefined;
    logs.sync();
    const { average, scaler } = this.#task;
    const scale = scaler?.enabled ? { scaler: scaler.state() } : {};
    const best = Number.isFinite(this.#maxAccuracy) ? { max_accuracy: this.#maxAccuracy } : {};
    const meters = logs.meters.state();
    const folder = await saveCheckpoint({
      root: outputDir,
      expName,
      tag,
      globalStep: this.#globalStep,
      epoch,
      state: { model, unchanged, args, meters, ...best, ...scale } as unknown as JsonObject,
      files: [
        tensorFile(modelFileName, this.#task.model.stateDict()),
        tensorFile(optimizerFileName, this.#task.optimizerState()),
        ...(average === undefined ? [] : [tensorFile(averageFileName, average.stateDict())]),
      ],
      ...(keepLast === undefined ? {} : { keepLast }),
    });
    logs.say(`saved ${folder} at step ${this.#globalStep}`);
    logs.restartClock();
    return folder;
  }

  async #stop(epoch: number, logs: RunLogs, signals: StopSignals): Promise<void> {
    const signal = signals.received;
    if (signal === undefined) return;
    const folder = await this.#save(epoch, logs);
    const again = this.#options.autoResume ? 'again' : 'without --no_auto_resume';
    const saved =
      folder === undefined ? 'nothing was saved' : `saved ${folder}; run the same command ${again} to go on`;
    throw new UserError(
      `stopped by ${signal} after step ${this.#globalStep} of ${this.#totalSteps}; ${saved}`,
      stopSignalExitCodes[signal],
    );
  }
}
