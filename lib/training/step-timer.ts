import { native } from '../native/addon.js';
import type { OpStatistics } from '../native/bindings.js';
import { defaultDevice } from '../tensor/device.js';
import { readAll, type Tensor } from '../tensor/tensor.js';

/** What a bench measures. */
export interface BenchNumbers {
  readonly images_per_s: number;
  /** Median [seconds]. */
  readonly step_s: number;
  /** Largest resident memory of the process; on cuda, the most that was held of the device's memory [MiB]. */
  readonly peak_mib: number;
  /** Part of the steps' time in which native work waited for JavaScript. */
  readonly js_share: number;
  /** Seconds a step that each op's work took, the most first. */
  readonly ops: Readonly<Record<string, number>>;
}

/** Seconds that each op took since `before`, divided by `steps`, the most first. */
function opSeconds(before: Record<string, OpStatistics>, steps: number): Record<string, number> {
  const seconds = Object.entries(native.opStatistics()).map(([op, { busySeconds }]): [string, number] => [
    op,
    (busySeconds - (before[op]?.busySeconds ?? 0)) / steps,
  ]);
  return Object.fromEntries(seconds.sort((a, b) => b[1] - a[1]));
}

/** Largest use of the memory that training takes up so far [bytes]. */
function peakMemory(): number {
  const device = defaultDevice();
  if (device === 'cpu') return process.resourceUsage().maxRSS * 1024;
  return native.memoryStatistics(device).peakReserved;
}

/**
 * Times steps, after one that warms up.
 * @param batchSize pictures a step
 * @param run queues a step; what it returns is read and released
 */
export async function timeSteps(
  batchSize: number,
  steps: number,
  run: (step: number) => Tensor[],
): Promise<BenchNumbers> {
  const arrivals: number[] = [];
  const running: Promise<void>[] = [];
  let idleBefore = 0;
  let opsBefore: Record<string, OpStatistics> = {};
  for (let step = 0; step <= steps; step++) {
    const tensors = run(step);
    running.push(
      readAll(tensors).then(() => {
        arrivals.push(performance.now());
        if (arrivals.length === 1) {
          idleBefore = native.streamStatistics(defaultDevice()).idleSeconds;
          opsBefore = native.opStatistics();
        }
        for (const tensor of tensors) tensor.release();
      }),
    );
    // As in training: at most two steps ahead of what was read.
    if (step > 0) await running[step - 1];
  }
  await Promise.all(running);
  const idle = native.streamStatistics(defaultDevice()).idleSeconds - idleBefore;
  const durations = arrivals.slice(1).map((time, i) => (time - (arrivals[i] as number)) / 1000);
  const median = durations.sort((a, b) => a - b)[Math.floor(durations.length / 2)] as number;
  const elapsed = ((arrivals.at(-1) as number) - (arrivals[0] as number)) / 1000;
  return {
    images_per_s: (batchSize * steps) / elapsed,
    step_s: median,
    peak_mib: peakMemory() / 2 ** 20,
    js_share: idle / elapsed,
    ops: opSeconds(opsBefore, steps),
  };
}
