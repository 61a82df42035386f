import { join } from 'node:path';
import { AppendedFile } from './appended-file.js';
import { truncateLines } from './line-log.js';
import { pythonFloat, pythonObject } from './python-json.js';

/** What one line of `log.txt` says. */
export interface EpochSummary {
  /** 0-based. */
  readonly epoch: number;
  /** Means over the epoch, in the order to be written, without the `train_` prefix: `loss`, `loss_main`, … */
  readonly train: Readonly<Record<string, number>>;
  /** What an evaluation after the epoch found, without the `test_` prefix: `loss`, `acc1`, `acc5`. */
  readonly test?: Readonly<Record<string, number>> | undefined;
  /** Trainable parameters. */
  readonly nParameters: number;
}

/**
 * One line of the reference's `log.txt`, without the newline, as Python's `json.dumps` prints it: metrics are
 * floats, `epoch` and `n_parameters` integers. Programs that read the reference's logs read this.
 */
export function epochLine({ epoch, train, test = {}, nParameters }: EpochSummary): string {
  const metrics = Object.entries({ train, test }).flatMap(([prefix, values]) =>
    Object.entries(values).map(([name, value]) => [`${prefix}_${name}`, pythonFloat(value)] as const),
  );
  return pythonObject([...metrics, ['epoch', String(epoch)], ['n_parameters', String(nParameters)]]);
}

/** `log.txt` of a run: a JSON object a line and epoch. `Symbol.dispose` closes. */
export class EpochLog {
  readonly #file: AppendedFile;
  /** Bytes of an earlier run that went because their epochs are run again. */
  readonly droppedBytes: number;

  /**
   * Opens `folder/log.txt`, and drops lines of epochs ≥ `startEpoch`: those about to be run (again).
   *
   * @throws UserError where the folder cannot be made or written
   */
  constructor(folder: string, startEpoch = 0) {
    const path = join(folder, 'log.txt');
    this.droppedBytes = truncateLines(path, 'epoch', startEpoch);
    this.#file = new AppendedFile(path);
  }

  get path(): string {
    return this.#file.path;
  }

  /** Appends an epoch's line and makes it durable. @throws UserError where the system refuses */
  write(summary: EpochSummary): void {
    this.#file.append(`${epochLine(summary)}\n`);
    this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
