import { mix } from './random.mjs';

/** A seed for noise. */
export const seedOf = (random) => random.integer(0, 2 ** 31 - 1);

/** Moves the colour in `out` towards `colour`. */
export function blend(out, colour, share) {
  for (let c = 0; c < 3; c++) out[c] += (colour[c] - out[c]) * share;
}

/** Brightens or darkens the colour in `out`. */
export function scale(out, factor) {
  for (let c = 0; c < 3; c++) out[c] *= factor;
}

/** A colour between two. */
export function mixed(a, b, t) {
  return [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)];
}
