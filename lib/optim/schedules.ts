/** A value for each step of a run: linear warmup, then half a cosine. */
export interface CosineSchedule {
  baseValue: number;
  finalValue: number;
  epochs: number;
  stepsPerEpoch: number;
  warmupEpochs?: number;
  /** over 0: length of the warmup in steps, in place of warmupEpochs */
  warmupSteps?: number;
  startWarmupValue?: number;
}

/**
 * The reference's `cosine_scheduler`: warmup by numpy.linspace with both ends (its last step has the base value
 * already), then final + ½(base − final)(1 + cos(πi/n)) over the n steps left.
 * @returns epochs·stepsPerEpoch values in float64
 * @throws RangeError if the warmup is longer than the run
 */
export function cosineSchedule(options: CosineSchedule): Float64Array {
  const { baseValue, finalValue, epochs, stepsPerEpoch, startWarmupValue = 0 } = options;
  const total = epochs * stepsPerEpoch;
  const { warmupEpochs = 0, warmupSteps = -1 } = options;
  const warmup = warmupSteps > 0 ? warmupSteps : warmupEpochs * stepsPerEpoch;
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
