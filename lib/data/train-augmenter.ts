import { UserError } from '../errors.js';
import type { Colour, ImageFilter, ImageOperation } from '../native/image.js';
import { type Augmenter, drawCrop, drawJitter } from './augmentations.js';
import { drawRandAugment, parseRandAugment, type RandAugmentPolicy } from './rand-augment.js';
import { Draws, dataStream } from './random.js';

/** `--train_interpolation`: a filter; `random` draws bilinear or bicubic for each picture. */
export type TrainInterpolation = 'random' | 'bilinear' | 'bicubic';

export interface FineTuneAugmenterOptions {
  readonly seed: number;
  /** `--train_interpolation`; default `bicubic`. */
  readonly trainInterpolation?: TrainInterpolation | undefined;
  /** RandAugment policy (`--aa`), see `parseRandAugment`; absent or empty: colour jitter in its place. */
  readonly aa?: string | undefined;
  /** Strength of the jitter of brightness, contrast and saturation (`--color_jitter`); only without `aa`. */
  readonly colorJitter: number;
  /** Mean of the normalisation, 0 … 1 a channel: the colour that RandAugment's movements uncover. */
  readonly mean: readonly [number, number, number];
}

/** Python's round(): halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}

/** The mean in 8 bits, as timm rounds it. */
export function fillColour(mean: readonly [number, number, number]): Colour {
  const [red, green, blue] = mean.map((value) => Math.min(255, roundHalfEven(255 * value)));
  return [red!, green!, blue!];
}

/**
 * The augmentation of fine-tuning, as timm's create_transform: a random crop (area 0.08 … 1) resized, then on the
 * result mirroring (½) and either RandAugment or colour jitter. Random erasing is apart (see `createRandomErasing`).
 *
 * @throws UserError for a policy that is not understood, or a value out of range
 */
export function fineTuneAugmenter(options: FineTuneAugmenterOptions): Augmenter {
  const { seed, trainInterpolation = 'bicubic', aa, colorJitter, mean } = options;
  if (!(colorJitter >= 0 && Number.isFinite(colorJitter))) {
    throw new UserError(`--color_jitter ${colorJitter}: give 0 or more`);
  }
  const policy: RandAugmentPolicy | undefined =
    aa === undefined || aa === '' ? undefined : parseRandAugment(aa);
  const fill = fillColour(mean);
  return {
    draw(epoch, index) {
      const draws = new Draws(seed, dataStream.augmentation, epoch, index);
      const crop = drawCrop(0.08, 1, draws);
      const filter: ImageFilter =
        trainInterpolation !== 'random' ? trainInterpolation : draws.uniform() < 0.5 ? 'bilinear' : 'bicubic';
      const operations: ImageOperation[] = draws.uniform() < 0.5 ? [{ kind: 'mirror' }] : [];
      if (policy === undefined) {
        for (const { kind, factor } of drawJitter(colorJitter, draws))
          operations.push({ kind, value: factor });
      } else {
        const drawn = drawRandAugment(policy, trainInterpolation, fill, draws);
        operations.push(...drawn.map(({ operation }) => operation));
      }
      return { crop, mirrored: false, jitter: [], operations, filter };
    },
  };
}

/** The augmentation of linear probing: one try at a random crop (area 0.08 … 1), resized, then mirroring (½). */
export function probeAugmenter(seed: number): Augmenter {
  return {
    draw(epoch, index) {
      const draws = new Draws(seed, dataStream.augmentation, epoch, index);
      const crop = drawCrop(0.08, 1, draws, true);
      const operations: ImageOperation[] = draws.uniform() < 0.5 ? [{ kind: 'mirror' }] : [];
      return { crop, mirrored: false, jitter: [], operations };
    },
  };
}
