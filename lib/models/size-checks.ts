import { UserError } from '../errors.js';

/** @throws UserError naming the flag of the first value that is no whole number of at least `least` */
export function checkWhole(flags: Readonly<Record<string, number>>, least = 1): void {
  for (const [flag, value] of Object.entries(flags)) {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(`--${flag} ${value} must be a whole number of at least ${least}`);
    }
  }
}

/** @throws UserError naming the flag of the first value that is not finite */
export function checkFinite(flags: Readonly<Record<string, number>>): void {
  for (const [flag, value] of Object.entries(flags)) {
    if (!Number.isFinite(value)) throw new UserError(`--${flag} ${value} must be a finite number`);
  }
}

/** @throws UserError for a rate of stochastic depth that is no share below 1 */
export function checkDropPath(rate: number): void {
  if (!(rate >= 0 && rate < 1)) throw new UserError(`--drop_path ${rate} must be at least 0 and below 1`);
}

/** @throws UserError for a ratio that leaves an MLP of one of the widths without a hidden feature */
export function checkMlpRatio(ratio: number, ...widths: number[]): void {
  if (!Number.isFinite(ratio) || widths.some((width) => Math.trunc(width * ratio) < 1)) {
    throw new UserError(`--mlp_ratio ${ratio} must be a number above 0 that leaves hidden features`);
  }
}
