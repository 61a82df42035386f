/** Speed over the last while: slow enough to read, quick enough to show a change. */
export class RateWindow {
  readonly #samples: Array<{ seconds: number; total: number }> = [];

  /** @param windowSeconds how far back to look. Default 30 s; at least two samples are always kept */
  constructor(private readonly windowSeconds = 30) {}

  /** Notes that `total` units were done at time `seconds`; both only grow. */
  add(seconds: number, total: number): void {
    this.#samples.push({ seconds, total });
    while (this.#samples.length > 2 && this.#samples[1]!.seconds <= seconds - this.windowSeconds) {
      this.#samples.shift();
    }
  }

  /** Units per second; undefined before two samples some time apart. */
  rate(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.seconds <= first.seconds) return undefined;
    return (last.total - first.total) / (last.seconds - first.seconds);
  }
}
