import { join } from 'node:path';
import { AppendedFile } from './appended-file.js';
import { truncateLines } from './line-log.js';

/** One step's metrics. */
export interface StepMetrics {
  /** Global optimizer step, 0-based. */
  readonly step: number;
  /** 0-based. */
  readonly epoch: number;
  /** `loss`, `lr`, `images_per_s`, `seconds`, …; a value that is not finite is written as null. */
  readonly [metric: string]: number;
}

/** `metrics.jsonl` of a run: a JSON object a line and step. `Symbol.dispose` closes. */
export class StepLog {
  readonly #file: AppendedFile;
  /** Bytes of an earlier run that went because their steps are run again. */
  readonly droppedBytes: number;

  /**
   * Opens `folder/metrics.jsonl`, and drops lines of steps ≥ `startStep`: those about to be run (again).
   *
   * @param startStep steps that the checkpoint covers, which is the first step to run
   * @throws UserError where the folder cannot be made or written
   */
  constructor(folder: string, startStep = 0) {
    const path = join(folder, 'metrics.jsonl');
    this.droppedBytes = truncateLines(path, 'step', startStep);
    this.#file = new AppendedFile(path);
  }

  get path(): string {
    return this.#file.path;
  }

  /** Appends a step's line. @throws UserError where the system refuses */
  write(metrics: StepMetrics): void {
    const { step, epoch, ...rest } = metrics;
    this.#file.append(`${JSON.stringify({ step, epoch, ...rest })}\n`);
  }

  /** Makes what was written durable: call before the checkpoint that covers it. */
  sync(): void {
    this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
