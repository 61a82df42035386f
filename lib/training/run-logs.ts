import { join } from 'node:path';
import { EpochLog } from '../logging/epoch-log.js';
import { type MeterState, Meters } from '../logging/meters.js';
import { moveAside } from '../logging/move-aside.js';
import { Progress, type ProgressStream } from '../logging/progress.js';
import { StepLog } from '../logging/step-log.js';
import { TensorboardWriter } from '../logging/tensorboard.js';

/** Logs that a new run moves aside. */
const logNames = ['log.txt', 'metrics.jsonl'] as const;

/** Where and from where on a run logs. */
export interface RunLogsOptions {
  readonly label: string;
  readonly outputDir: string;
  /** Folder of the TensorBoard events; `outputDir` where it is left out or empty. */
  readonly logDir?: string | undefined;
  /** Whether the run goes on from nothing: logs of an earlier one in its folder are moved aside, not cut. */
  readonly anew?: boolean | undefined;
  readonly startStep: number;
  readonly startEpoch: number;
  readonly epochs: number;
  readonly totalSteps: number;
  readonly imagesPerStep: number;
  readonly parameterCount: number;
  readonly stream?: ProgressStream | undefined;
}

/** A step's numbers, when they have arrived. */
export interface StepRecord {
  readonly step: number;
  readonly epoch: number;
  /** In the order of `log.txt`. */
  readonly values: Readonly<Record<string, number>>;
}

/** Everything a run writes beside checkpoints: `log.txt`, `metrics.jsonl`, TensorBoard events, the progress line. */
export class RunLogs {
  readonly meters = new Meters();
  readonly #options: RunLogsOptions;
  readonly #steps: StepLog;
  readonly #epochs: EpochLog;
  readonly #board: TensorboardWriter;
  readonly #progress: Progress;
  #lastTime = performance.now();
  #images = 0;
  /** What the last evaluation found, for the progress line. */
  #fields: Record<string, string> = {};

  /** @throws UserError where a log cannot be written */
  constructor(options: RunLogsOptions) {
    this.#options = options;
    const { outputDir, logDir, startStep, startEpoch } = options;
    // First where it has a folder of its own: should that be refused, no empty logs are left.
    const ownBoard = logDir ? new TensorboardWriter(logDir, { startStep }) : undefined;
    const moved = options.anew === true ? moveAside(logNames.map((name) => join(outputDir, name))) : [];
    this.#steps = new StepLog(outputDir, startStep);
    this.#epochs = new EpochLog(outputDir, startEpoch);
    this.#board = ownBoard ?? new TensorboardWriter(outputDir, { startStep });
    this.#progress = new Progress({
      label: options.label,
      totalSteps: options.totalSteps,
      startStep,
      ...(options.stream === undefined ? {} : { stream: options.stream }),
    });
    if (moved.length > 0) this.say(`the logs of an earlier run are now ${moved.join(' and ')}`);
  }

  /** A line of its own among the progress. */
  say(line: string): void {
    this.#progress.message(line);
  }

  step({ step, epoch, values }: StepRecord): void {
    const now = performance.now();
    const seconds = (now - this.#lastTime) / 1000;
    this.#lastTime = now;
    this.#images += this.#options.imagesPerStep;
    this.meters.update(values);
    this.#steps.write({
      step,
      epoch,
      ...values,
      images_per_s: this.#options.imagesPerStep / seconds,
      seconds,
    });
    const tagged = Object.entries(values).map(([name, value]) => [`train/${name}`, value]);
    this.#board.addScalars(Object.fromEntries(tagged), step);
    this.#progress.update({
      step: step + 1,
      images: this.#images,
      fields: {
        epoch: `${epoch + 1}/${this.#options.epochs}`,
        loss: values['loss']?.toFixed(4) ?? '-',
        ...this.#fields,
      },
    });
  }

  /**
   * Ends an epoch: its means go to `log.txt`.
   * @param step the epoch's last
   * @param test what an evaluation after it found: also for the other logs
   */
  endEpoch(epoch: number, step: number, test?: Readonly<Record<string, number>>): void {
    const nParameters = this.#options.parameterCount;
    this.#epochs.write({ epoch, train: this.meters.means(), test, nParameters });
    this.meters.reset();
    if (test === undefined) return;
    const named = (prefix: string): Record<string, number> =>
      Object.fromEntries(Object.entries(test).map(([name, value]) => [`${prefix}${name}`, value]));
    this.#steps.write({ step, epoch, ...named('test_') });
    this.#board.addScalars(named('test/'), step);
    this.#fields = Object.fromEntries(
      Object.entries(test).map(([name, value]) => [`test_${name}`, value.toFixed(name === 'loss' ? 4 : 2)]),
    );
    this.restartClock();
  }

  restore(meters: MeterState): void {
    this.meters.restore(meters);
  }

  /** Before a checkpoint: what it covers is durable. */
  sync(): void {
    this.#steps.sync();
    this.#board.flush();
  }

  /** Time from here on counts for the next step: what a checkpoint took is no step's. */
  restartClock(): void {
    this.#lastTime = performance.now();
  }

  [Symbol.dispose](): void {
    this.#progress.finish();
    this.#steps.close();
    this.#epochs.close();
    this.#board.close();
  }
}
