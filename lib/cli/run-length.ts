import { usageError } from './flags.js';

/** Flags that say how long a run and its warmup are. */
export interface RunLengthFlags {
  readonly epochs: number;
  readonly update_freq: number;
  readonly warmup_epochs: number;
  /** above 0 it replaces `warmup_epochs` */
  readonly warmup_steps?: number;
}

/** Most steps of a run: its schedules hold a number for each of them. */
const mostSteps = 100_000_000;

/** @throws UserError for a warmup of more epochs than the run's */
export function checkWarmupEpochs({ epochs, warmup_epochs, warmup_steps = -1 }: RunLengthFlags): void {
  if (warmup_steps > 0 || warmup_epochs <= epochs) return;
  throw usageError(`--warmup_epochs ${warmup_epochs} must not exceed --epochs ${epochs}`);
}

/**
 * Steps of an epoch of so many batches.
 * @throws UserError naming the flag, where an epoch has no step, the run too many, or the warmup more than the run
 */
export function stepsOfEpoch(flags: RunLengthFlags, batchesPerEpoch: number): number {
  const { epochs, update_freq: updateFreq, warmup_steps: warmupSteps = -1 } = flags;
  const steps = Math.floor(batchesPerEpoch / updateFreq);
  if (steps === 0) {
    throw usageError(
      `--update_freq ${updateFreq} is larger than the ${batchesPerEpoch} batches of an epoch; lower it`,
    );
  }
  const total = epochs * steps;
  if (total > mostSteps) {
    throw usageError(
      `--epochs ${epochs} of ${steps} steps each are more than a run's ${mostSteps} steps; lower it`,
    );
  }
  if (warmupSteps > total) {
    throw usageError(`--warmup_steps ${warmupSteps} must not exceed the run's ${total} steps; lower it`);
  }
  return steps;
}
