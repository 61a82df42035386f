/** Sum and weight of each metric so far, in order; part of a checkpoint taken in mid-epoch. */
export type MeterState = Array<{ name: string; sum: number; weight: number }>;

/**
 * Means of metrics over an epoch. Names keep the order in which they first came. Sums are float64, so a resumed
 * epoch that adds the same numbers in the same order has the same means to the bit.
 */
export class Meters {
  readonly #meters = new Map<string, { sum: number; weight: number }>();

  /**
   * Adds a step's values. One that is not finite (the gradient's norm of a step that the loss scale made overflow) is
   * left out: it would be all that the epoch's mean shows.
   *
   * @param weight how much they count, 1 (a step) by default
   */
  update(values: Readonly<Record<string, number>>, weight = 1): void {
    for (const [name, value] of Object.entries(values)) {
      const meter = this.#meters.get(name) ?? { sum: 0, weight: 0 };
      this.#meters.set(name, meter);
      if (!Number.isFinite(value)) continue;
      meter.sum += value * weight;
      meter.weight += weight;
    }
  }

  /** Mean of each metric; empty before the first update. */
  means(): Record<string, number> {
    return Object.fromEntries([...this.#meters].map(([name, { sum, weight }]) => [name, sum / weight]));
  }

  /** Forgets everything: the next epoch. */
  reset(): void {
    this.#meters.clear();
  }

  /** For a checkpoint; `JSON.stringify` keeps it exactly while the sums are finite. */
  state(): MeterState {
    return [...this.#meters].map(([name, meter]) => ({ name, ...meter }));
  }

  /** Goes on from `state`. */
  restore(state: MeterState): void {
    this.#meters.clear();
    for (const { name, sum, weight } of state) this.#meters.set(name, { sum, weight });
  }
}
