import { UserError } from '../errors.js';

/**
 * The streams of the data pipeline: one for each purpose, so that no two draw the same numbers. The high bits keep
 * them apart from the native core's streams under the same seed.
 */
export const dataStream = {
  permutation: 0x0da7a001,
  augmentation: 0x0da7a002,
  mask: 0x0da7a003,
  replacement: 0x0da7a004,
  erasing: 0x0da7a005,
  erasingNoise: 0x0da7a006,
  mixing: 0x0da7a007,
} as const;

/** High 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function highProduct(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + Math.floor((aLow * bLow) / 0x10000);
  const carry = aLow * bHigh + (middle % 0x10000);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/**
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): replaces the four counter
 * words by four random ones. The same generator as native/core/philox.h.
 *
 * @param counter four 32-bit words, overwritten
 * @param key two 32-bit words
 */
export function philox4x32(counter: Uint32Array, key0: number, key1: number): void {
  let c0 = counter[0]!;
  let c1 = counter[1]!;
  let c2 = counter[2]!;
  let c3 = counter[3]!;
  let k0 = key0 >>> 0;
  let k1 = key1 >>> 0;
  for (let round = 0; round < 10; round++) {
    const high0 = highProduct(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = highProduct(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

/**
 * A sequence of random numbers that is a pure function of (seed, stream, step, index): no state outlives it, so a
 * resumed run draws what the uninterrupted one drew.
 */
export class Draws {
  private readonly words = new Uint32Array(4);
  private readonly key0: number;
  private readonly key1: number;
  private block = 0;
  /** 0: both 53-bit numbers of the current block are to come; 1: one is; 2: none. */
  private used = 2;

  /**
   * @param seed whole number, 0 … 2^53−1
   * @param stream one of `dataStream`
   * @param step an epoch, say; below 2^32
   * @param index of a sample, say; below 2^32
   * @throws UserError for a seed out of range
   */
  constructor(
    seed: number,
    private readonly stream: number,
    private readonly step: number,
    private readonly index: number,
  ) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new UserError(`seed ${seed}: give a whole number, 0 or more (--seed)`);
    }
    this.key0 = seed >>> 0;
    this.key1 = Math.floor(seed / 2 ** 32) >>> 0;
  }

  /** Uniform in [0, 1) with 53 bits. */
  uniform(): number {
    if (this.used === 2) {
      this.words[0] = this.block++;
      this.words[1] = this.index;
      this.words[2] = this.step;
      this.words[3] = this.stream;
      philox4x32(this.words, this.key0, this.key1);
      this.used = 0;
    }
    const at = 2 * this.used++;
    return (this.words[at]! * 0x200000 + (this.words[at + 1]! >>> 11)) * 2 ** -53;
  }

  /** Uniform between two numbers, in either order. */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** Between two positive numbers, uniform in the logarithm. */
  logUniform(low: number, high: number): number {
    return Math.exp(this.between(Math.log(low), Math.log(high)));
  }

  /** Normal (Box and Muller's transform). */
  normal(mean: number, deviation: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + deviation * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /**
   * Of the beta distribution with parameters a and b, as G(a)/(G(a) + G(b)) of two gamma variates; in logarithms, since
   * those of a small parameter are below the least number.
   */
  beta(a: number, b: number): number {
    const difference = this.logGamma(b) - this.logGamma(a);
    return 1 / (1 + Math.exp(difference));
  }

  /** Logarithm of a gamma variate (Marsaglia and Tsang 2000; G(a) = G(a+1)·u^(1/a) for small a). */
  private logGamma(shape: number): number {
    const boost = shape < 1 ? Math.log(1 - this.uniform()) / shape : 0;
    const d = (shape < 1 ? shape + 1 : shape) - 1 / 3;
    for (;;) {
      const x = this.normal(0, 1);
      const root = 1 + x / Math.sqrt(9 * d);
      if (root <= 0) continue;
      const v = root ** 3;
      if (Math.log(1 - this.uniform()) < 0.5 * x * x + d * (1 - v + Math.log(v))) {
        return Math.log(d * v) + boost;
      }
    }
  }

  /** A whole number from 0 to `count` − 1. */
  below(count: number): number {
    return Math.min(count - 1, Math.floor(this.uniform() * count));
  }

  /** Shuffles in place (Fisher-Yates); with `first`, only so far that the first entries are a random choice. */
  shuffle<T extends Uint32Array | number[]>(values: T, first = values.length): T {
    for (let i = 0; i < Math.min(first, values.length - 1); i++) {
      const j = i + this.below(values.length - i);
      const kept = values[i]!;
      values[i] = values[j]!;
      values[j] = kept;
    }
    return values;
  }
}
