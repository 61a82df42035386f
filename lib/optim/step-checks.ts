import type { StepRates, UpdateOptions } from './optimizer.js';

/** Refuses rates that would make every weight not a number. @throws RangeError naming the rate */
export function checkRates({ lr, weightDecay }: StepRates): void {
  for (const [name, value] of Object.entries({ lr, weightDecay })) {
    if (!Number.isFinite(value)) throw new RangeError(`optimizer: ${name} ${value} must be a finite number`);
  }
}

/** @throws RangeError for a clip that is negative or no number, and a gradientScale that is not finite */
export function checkUpdate({ clip = 0, gradientScale = 1 }: UpdateOptions): void {
  if (!(clip >= 0)) throw new RangeError(`optimizer: clip ${clip} must be at least 0; 0 is no clipping`);
  if (!Number.isFinite(gradientScale)) {
    throw new RangeError(`optimizer: gradientScale ${gradientScale} must be a finite number`);
  }
}
