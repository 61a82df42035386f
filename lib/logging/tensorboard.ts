import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileError, systemCode } from '../checkpoint/file-errors.js';
import { makeFolderSync } from '../checkpoint/file-sink.js';
import { AppendedFile } from './appended-file.js';
import {
  imageEvent,
  type PngImage,
  restartEvent,
  scalarEvent,
  tfRecord,
  versionEvent,
} from './tensorboard-event.js';

/** How events are held back, and from which step on. */
export interface TensorboardOptions {
  /** First step this file will hold: readers drop what older files of the folder hold from it on. */
  readonly startStep?: number;
  /** Records are written once this many bytes wait. Default 64 KiB. */
  readonly bufferBytes?: number;
  /** … or once the oldest waits this long, seen at the next record. Default 10 s. */
  readonly flushSeconds?: number;
  /** Seconds since 1970; the system's clock by default. */
  readonly clock?: () => number;
}

/**
 * Writes a TensorBoard event file, `events.out.tfevents.<seconds>.<host>.<process id>`, into a run's folder; a run
 * that resumes adds a file. Only whole records are written, so a reader that follows the file, or meets what a
 * killed process left, sees complete events. `Symbol.dispose` closes.
 */
export class TensorboardWriter {
  readonly #file: AppendedFile;
  readonly #clock: () => number;
  readonly #bufferBytes: number;
  readonly #flushSeconds: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #waitingSince = 0;

  /** @throws UserError where the folder cannot be made or written */
  constructor(folder: string, options: TensorboardOptions = {}) {
    this.#clock = options.clock ?? (() => Date.now() / 1000);
    this.#bufferBytes = options.bufferBytes ?? 2 ** 16;
    this.#flushSeconds = options.flushSeconds ?? 10;
    const startStep = options.startStep ?? 0;
    const restarts = hasEvents(folder) || startStep > 0;
    this.#file = createEventFile(folder, Math.floor(this.#clock()));
    this.#add(versionEvent(this.#clock()));
    if (restarts) this.#add(restartEvent(this.#clock(), startStep));
    this.flush();
  }

  /** The event file's path. */
  get path(): string {
    return this.#file.path;
  }

  /** Adds one value under `tag` (`train/loss`, say: the part before the slash groups charts). */
  addScalar(tag: string, value: number, step: number): void {
    this.addScalars({ [tag]: value }, step);
  }

  /** Adds values of one step, each under its own tag. */
  addScalars(values: Readonly<Record<string, number>>, step: number): void {
    this.#add(scalarEvent(this.#clock(), step, values));
  }

  /** Adds an RGB picture given as the bytes of a PNG file. */
  addImage(tag: string, image: PngImage, step: number): void {
    this.#add(imageEvent(this.#clock(), step, tag, image));
  }

  /** Writes what waits. @throws UserError where the system refuses; what waits is kept for another try */
  flush(): void {
    if (this.#waiting.length === 0) return;
    this.#file.append(Buffer.concat(this.#waiting));
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  close(): void {
    try {
      this.flush();
    } finally {
      this.#file.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #add(event: Buffer): void {
    const now = this.#clock();
    if (this.#waiting.length === 0) this.#waitingSince = now;
    const record = tfRecord(event);
    this.#waiting.push(record);
    this.#waitingBytes += record.byteLength;
    if (this.#waitingBytes >= this.#bufferBytes || now - this.#waitingSince >= this.#flushSeconds)
      this.flush();
  }
}

const eventPrefix = 'events.out.tfevents.';

/** Makes the folder where it is missing. @returns whether it holds event files of earlier runs */
function hasEvents(folder: string): boolean {
  try {
    makeFolderSync(folder);
    return readdirSync(folder).some((name) => name.startsWith(eventPrefix));
  } catch (error) {
    throw fileError('write', folder, error);
  }
}

/** A new file: two writers of one process and second get numbered names rather than one mixed file. */
function createEventFile(folder: string, seconds: number): AppendedFile {
  const path = join(folder, `${eventPrefix}${seconds}.${hostname()}.${process.pid}`);
  for (let attempt = 0; ; attempt++) {
    try {
      return new AppendedFile(attempt === 0 ? path : `${path}.${attempt}`, 'ax');
    } catch (error) {
      const taken = error instanceof Error && systemCode(error.cause) === 'EEXIST';
      if (!taken || attempt === 1000) throw error;
    }
  }
}
