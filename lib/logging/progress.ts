import { RateWindow } from './rate-window.js';

/** Where progress goes: `process.stderr`, or a stand-in. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface ProgressOptions {
  /** What runs: `pretrain`. */
  readonly label: string;
  /** Steps of the whole run. */
  readonly totalSteps: number;
  /** Steps done before this process started. Default 0. */
  readonly startStep?: number;
  /** Default `process.stderr`. */
  readonly stream?: ProgressStream;
  /** Off a terminal: seconds between lines. Default 10. */
  readonly everySeconds?: number;
  /** Off a terminal: also a line each time this many steps are done. Default: by time alone. */
  readonly everySteps?: number;
  /** Monotonic seconds. */
  readonly clock?: () => number;
}

export interface ProgressUpdate {
  /** Steps done, of all. */
  readonly step: number;
  /** Images seen by this process. */
  readonly images: number;
  /** Further columns, in order: `{ epoch: '3/20', loss: '5.13' }`. */
  readonly fields?: Readonly<Record<string, string>>;
}

/** Redrawing a terminal more often helps nobody. */
const redrawSeconds = 0.1;

/**
 * Shows how far a run is: on a terminal one line rewritten in place, elsewhere (a file, a job's log) a plain line
 * now and then. Images/s and the time left are of the last half minute.
 */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #stream: ProgressStream;
  readonly #clock: () => number;
  readonly #images = new RateWindow();
  readonly #steps = new RateWindow();
  #lastShown: { seconds: number; step: number };
  /** Characters of the line on the terminal, to be covered by the next. */
  #shownWidth = 0;
  #latest: ProgressUpdate | undefined;
  #latestShown = true;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#stream = options.stream ?? process.stderr;
    this.#clock = options.clock ?? (() => performance.now() / 1000);
    const start = options.startStep ?? 0;
    const now = this.#clock();
    this.#images.add(now, 0);
    this.#steps.add(now, start);
    this.#lastShown = { seconds: now, step: start };
  }

  /** Call once a step; shows the line when it is time. */
  update(update: ProgressUpdate): void {
    const now = this.#clock();
    this.#images.add(now, update.images);
    this.#steps.add(now, update.step);
    this.#latest = update;
    this.#latestShown = false;
    if (this.#isDue(now, update.step)) this.#show(now);
  }

  /** Prints a line of its own (a warning, a saved checkpoint) without tearing the progress line. */
  message(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
    if (this.#stream.isTTY === true && this.#latest !== undefined) this.#show(this.#clock());
  }

  /** Shows the last state and leaves the line. Further updates start a new one. */
  finish(): void {
    if (!this.#latestShown) this.#show(this.#clock());
    if (this.#shownWidth > 0) this.#stream.write('\n');
    this.#shownWidth = 0;
  }

  #isDue(now: number, step: number): boolean {
    const elapsed = now - this.#lastShown.seconds;
    if (this.#stream.isTTY === true) return elapsed >= redrawSeconds || step >= this.#options.totalSteps;
    if (elapsed >= (this.#options.everySeconds ?? 10)) return true;
    const { everySteps } = this.#options;
    return everySteps !== undefined && step - this.#lastShown.step >= everySteps;
  }

  #show(now: number): void {
    const update = this.#latest;
    if (update === undefined) return;
    this.#latestShown = true;
    this.#lastShown = { seconds: now, step: update.step };
    const line = this.#line(update);
    if (this.#stream.isTTY !== true) {
      this.#stream.write(`${line}\n`);
      return;
    }
    // One column stays free: a full line makes some terminals wrap, and \r then misses its start.
    const text = line.slice(0, Math.max(1, (this.#stream.columns ?? 80) - 1));
    this.#stream.write(`\r${text.padEnd(this.#padding())}`);
    this.#shownWidth = text.length;
  }

  #line({ step, fields }: ProgressUpdate): string {
    const { label, totalSteps } = this.#options;
    const percent = totalSteps > 0 ? Math.floor((100 * step) / totalSteps) : 100;
    const parts = [`${label} ${step}/${totalSteps} ${percent}%`];
    for (const [name, value] of Object.entries(fields ?? {})) parts.push(`${name} ${value}`);
    const imagesPerSecond = this.#images.rate();
    if (imagesPerSecond !== undefined) parts.push(`${formatRate(imagesPerSecond)} images/s`);
    const stepsPerSecond = this.#steps.rate();
    if (stepsPerSecond !== undefined && stepsPerSecond > 0) {
      parts.push(`ETA ${formatDuration((totalSteps - step) / stepsPerSecond)}`);
    }
    return parts.join('  ');
  }

  /** Wide enough to cover the old line, never wider than the terminal is now. */
  #padding(): number {
    return Math.min(this.#shownWidth, Math.max(1, (this.#stream.columns ?? 80) - 1));
  }

  #clear(): void {
    if (this.#shownWidth === 0) return;
    this.#stream.write(`\r${' '.repeat(this.#padding())}\r`);
    this.#shownWidth = 0;
  }
}

/** Three digits that matter: `0.92`, `34.1`, `1250`. */
function formatRate(rate: number): string {
  return rate >= 100 ? rate.toFixed(0) : rate >= 10 ? rate.toFixed(1) : rate.toFixed(2);
}

/** `0:42`, `12:05`, `3:07:00`, `2d 03:00`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600) % 24;
  const days = Math.floor(whole / 86_400);
  if (days > 0) return `${days}d ${two(hours)}:${two(minutes)}`;
  if (hours > 0) return `${hours}:${two(minutes)}:${two(whole % 60)}`;
  return `${minutes}:${two(whole % 60)}`;
}
