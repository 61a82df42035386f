import {
  existsSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { systemCode } from './file-errors.js';
import { makeFolderSync } from './file-sink.js';
import { isAlive, startOf } from './process-life.js';

/** File in a run's folder that says which process writes there. */
export const lockName = '.cae-native.lock';
/** How often a lock is touched, for those on other machines, who cannot see the process. */
const touchSeconds = 30;
/** After this long without a touch, a lock of another machine is a dead run's. */
const staleSeconds = 300;

/** Who holds a lock. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** As `startOf` tells it. */
  readonly started?: string | undefined;
}

/** Folders locked by this process. */
const held = new Set<string>();

/**
 * Keeps other processes out of a run's folder, so that logs and checkpoints are one run's. What a killed process left
 * behind is taken over. A folder where no file can be made stays without a lock: whoever writes there says why.
 * `Symbol.dispose` gives it back.
 */
export class FolderLock {
  readonly #folder: string;
  #text: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Whether the folder is there for the lock alone. */
  #made = false;

  /**
   * Locks a folder that exists; one that does not is left to `take`.
   * @throws UserError where another process has it
   */
  constructor(folder: string) {
    this.#folder = resolve(folder);
    if (existsSync(this.#folder)) this.take();
  }

  /** Locks the folder, and makes it where it is missing. @throws UserError where another process has it */
  take(): void {
    if (this.#text !== undefined) return;
    const holder: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
    const text = `${JSON.stringify(holder)}\n`;
    if (!this.#place(text)) return;
    this.#text = text;
    held.add(this.#folder);
    this.#timer = setInterval(() => this.#touch(), touchSeconds * 1000).unref();
  }

  get #path(): string {
    return join(this.#folder, lockName);
  }

  /** @returns false where the system lets no file be made */
  #place(text: string): boolean {
    try {
      const missing = !existsSync(this.#folder);
      makeFolderSync(this.#folder);
      this.#made ||= missing;
    } catch {
      return false;
    }
    for (;;) {
      try {
        writeFileSync(this.#path, text, { flag: 'wx' });
        return true;
      } catch (error) {
        if (systemCode(error) === 'EEXIST' && this.#removeStale()) continue;
        // A full disk takes the name but not the text.
        this.#removeOwn('');
        return false;
      }
    }
  }

  /** Removes a dead process's lock. @returns false where that is refused @throws UserError where the process lives */
  #removeStale(): boolean {
    const text = settled(this.#path);
    const holder = holderOf(text);
    if (holder !== undefined && lives(holder, this.#path, this.#folder)) throw this.#inUse(holder);
    const aside = `${this.#path}.${process.pid}`;
    try {
      renameSync(this.#path, aside);
      // Between the look and the move someone else may have taken the lock over.
      if (readFileSync(aside, 'utf8') === text) rmSync(aside);
      else renameSync(aside, this.#path);
      return true;
    } catch (error) {
      return systemCode(error) === 'ENOENT';
    }
  }

  #inUse(holder: Holder): UserError {
    const elsewhere = holder.host !== hostname();
    const who = `process ${holder.pid}${elsewhere ? ` on ${holder.host}` : ''}`;
    const remedy = elsewhere ? `; where that has ended, remove ${this.#path}` : '';
    return new UserError(
      `${this.#folder} is in use by ${who}; wait for it, or choose another --output_dir${remedy}`,
    );
  }

  #touch(): void {
    try {
      const now = new Date();
      utimesSync(this.#path, now, now);
    } catch {
      // Someone removed it: the run goes on.
    }
  }

  /** Removes the lock where it holds `text`. */
  #removeOwn(text: string): void {
    try {
      if (readFileSync(this.#path, 'utf8') === text) rmSync(this.#path);
    } catch {
      // Then it is gone, or stays to be taken over.
    }
  }

  [Symbol.dispose](): void {
    if (this.#text === undefined) return;
    clearInterval(this.#timer);
    held.delete(this.#folder);
    this.#removeOwn(this.#text);
    this.#text = undefined;
    try {
      if (this.#made) rmdirSync(this.#folder);
    } catch {
      // It holds what the run wrote.
    }
  }
}

/** A lock's text; one that is just being written is waited for. */
function settled(path: string): string {
  for (let attempt = 0; ; attempt++) {
    let text = '';
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return '';
    }
    if (text !== '' || attempt === 20) return text;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 25);
  }
}

function holderOf(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null;
    const whole = Number.isSafeInteger(holder?.pid) && typeof holder?.host === 'string';
    return whole ? (holder as Holder) : undefined;
  } catch {
    return undefined;
  }
}

function lives({ pid, host, started }: Holder, path: string, folder: string): boolean {
  if (host !== hostname()) {
    const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return Date.now() - touched < staleSeconds * 1000;
  }
  // Our own id without a lock of ours is a dead run's, as in a container that was started again.
  if (pid === process.pid) return held.has(folder);
  if (!isAlive(pid)) return false;
  const now = startOf(pid);
  return started === undefined || now === undefined || now === started;
}
