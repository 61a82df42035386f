/** Mixes integers into 32 well-spread bits (the finaliser of MurmurHash3 over each). */
export function hash(...keys) {
  let state = 0x9e3779b9;
  for (const key of keys) {
    state = Math.imul(state ^ (key >>> 0), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    state = (state ^ (state >>> 16)) >>> 0;
  }
  return state;
}

/** Random draws that are a function of the keys alone: the n-th draw is a hash of (keys, n). */
export class Random {
  #seed;
  #drawn = 0;

  /** @param {...number} keys integers */
  constructor(...keys) {
    this.#seed = hash(...keys);
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1) {
    return low + (high - low) * (hash(this.#seed, this.#drawn++) / 2 ** 32);
  }

  /** Uniform integer in [low, high]. */
  integer(low, high) {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  /** True with probability `p`. */
  chance(p) {
    return this.uniform() < p;
  }

  /**
   * One of the items.
   * @template T
   * @param {readonly T[]} items
   */
  pick(items) {
    return items[this.integer(0, items.length - 1)];
  }
}

/** Smooth noise in [-1, 1]: random values on the integer lattice, blended between. */
export function latticeNoise(seed, x, y) {
  const column = Math.floor(x);
  const row = Math.floor(y);
  const u = ease(x - column);
  const v = ease(y - row);
  const top = mix(lattice(seed, column, row), lattice(seed, column + 1, row), u);
  const bottom = mix(lattice(seed, column, row + 1), lattice(seed, column + 1, row + 1), u);
  return mix(top, bottom, v);
}

/** Three octaves of lattice noise, about [-1, 1]. */
export function fractalNoise(seed, x, y) {
  return (
    (latticeNoise(seed, x, y) +
      0.5 * latticeNoise(seed + 1, x * 2.03, y * 2.03) +
      0.25 * latticeNoise(seed + 2, x * 4.09, y * 4.09)) /
    1.4
  );
}

function lattice(seed, column, row) {
  let h = (seed ^ Math.imul(column, 0x27d4eb2d) ^ Math.imul(row, 0x165667b1)) | 0;
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 31 - 1;
}

const ease = (t) => t * t * (3 - 2 * t);

/** Linear blend from a to b. */
export const mix = (a, b, t) => a + (b - a) * t;

/** 0 below `low`, 1 above `high`, smooth between. */
export function smoothStep(low, high, x) {
  return ease(Math.min(1, Math.max(0, (x - low) / (high - low))));
}
