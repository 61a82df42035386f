/** A value for each step of a run: linear warmup, then half a cosine. */
export interface CosineSchedule {
  baseValue: number;
  finalValue: number;
  epochs: number;
  stepsPerEpoch: number;
  /** default 0; a share of an epoch is rounded to whole steps */
  warmupEpochs?: number;
  /** over 0: length of the warmup in steps, rounded, in place of warmupEpochs; 0 or -1: none */
  warmupSteps?: number;
  startWarmupValue?: number;
}

/**
 * The reference's `cosine_scheduler`: warmup by numpy.linspace with both ends (its last step has the base value
 * already), then final + ½(base − final)(1 + cos(πi/n)) over the n steps left.
 * @returns epochs·stepsPerEpoch values in float64
 * @throws RangeError if the warmup is longer than the run, a length is negative, or a number is not finite
 */
export function cosineSchedule(options: CosineSchedule): Float64Array {
  const { baseValue, finalValue, epochs, stepsPerEpoch, startWarmupValue = 0 } = options;
  const { warmupEpochs = 0, warmupSteps = -1 } = options;
  checkFinite({ baseValue, finalValue, startWarmupValue, warmupSteps });
  checkLengths({ epochs, stepsPerEpoch, warmupEpochs, warmupSteps: warmupSteps === -1 ? 0 : warmupSteps });
  const total = Math.round(epochs * stepsPerEpoch);
  const warmup = Math.round(warmupSteps > 0 ? warmupSteps : warmupEpochs * stepsPerEpoch);
  if (warmup > total) throw new RangeError(`warmup of ${warmup} steps is longer than the run's ${total}`);
  const values = new Float64Array(total);
  const rise = warmup > 1 ? (baseValue - startWarmupValue) / (warmup - 1) : 0;
  for (let i = 0; i < warmup; i++) values[i] = startWarmupValue + rise * i;
  if (warmup > 1) values[warmup - 1] = baseValue;
  const rest = total - warmup;
  for (let i = 0; i < rest; i++) {
    values[warmup + i] = finalValue + 0.5 * (baseValue - finalValue) * (1 + Math.cos((Math.PI * i) / rest));
  }
  return values;
}

/** A learning rate for each step of a probe's run, by fractional epochs. */
export interface EpochCosineSchedule {
  lr: number;
  minLr: number;
  epochs: number;
  warmupEpochs: number;
  stepsPerEpoch: number;
}

/**
 * The linear probe's schedule, at the fractional epoch e = step/stepsPerEpoch: lr·e/warmup up to the warmup's end, then
 * min + ½(lr − min)(1 + cos(π(e − warmup)/(epochs − warmup))).
 * @returns epochs·stepsPerEpoch values in float64
 * @throws RangeError if a length is negative, or a number is not finite
 */
export function epochCosineSchedule(options: EpochCosineSchedule): Float64Array {
  const { lr, minLr, epochs, warmupEpochs, stepsPerEpoch } = options;
  checkFinite({ lr, minLr });
  checkLengths({ epochs, stepsPerEpoch, warmupEpochs });
  return Float64Array.from({ length: Math.round(epochs * stepsPerEpoch) }, (_, step) => {
    const epoch = step / stepsPerEpoch;
    if (epoch < warmupEpochs) return (lr * epoch) / warmupEpochs;
    const share = (epoch - warmupEpochs) / (epochs - warmupEpochs);
    return minLr + 0.5 * (lr - minLr) * (1 + Math.cos(Math.PI * share));
  });
}

function checkFinite(numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isFinite(value)) throw new RangeError(`${name} ${value} must be a finite number`);
  }
}

function checkLengths(lengths: Readonly<Record<string, number>>): void {
  checkFinite(lengths);
  for (const [name, value] of Object.entries(lengths)) {
    if (value < 0) throw new RangeError(`${name} ${value} must be at least 0`);
  }
}
