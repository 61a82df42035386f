/** Signals that end a run after the step under way, and the exit status each stands for (128 + its number). */
export const stopSignalExitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

export type StopSignal = keyof typeof stopSignalExitCodes;
const stopSignals = Object.keys(stopSignalExitCodes) as StopSignal[];

/**
 * Notes the first SIGINT or SIGTERM and leaves the next to the system, which then ends the process at once: someone
 * who asks twice does not want to wait for the step. `Symbol.dispose` stops listening.
 */
export class StopSignals {
  #received: StopSignal | undefined;

  constructor() {
    for (const signal of stopSignals) process.on(signal, this.#note);
  }

  /** The signal that asked the run to stop. */
  get received(): StopSignal | undefined {
    return this.#received;
  }

  [Symbol.dispose](): void {
    for (const signal of stopSignals) process.off(signal, this.#note);
  }

  readonly #note = (signal: NodeJS.Signals): void => {
    this.#received = signal as StopSignal;
    this[Symbol.dispose]();
  };
}
