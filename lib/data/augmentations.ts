import { UserError } from '../errors.js';
import {
  type CropRule,
  type ImageFilter,
  type ImageOperation,
  type JitterStep,
  randomCropDraws,
} from '../native/image.js';
import { Draws, dataStream } from './random.js';

export interface AugmentationOptions {
  readonly seed: number;
  /** Share of the picture's area a random crop takes (`--crop_min_size`, `--crop_max_size`). */
  readonly cropMinSize: number;
  readonly cropMaxSize: number;
  /** Strength of brightness, contrast and saturation jitter (`--color_jitter`); 0 is none. */
  readonly colorJitter: number;
  /** Probability of mirroring left and right; default ½. */
  readonly flip?: number;
}

/** What is done to one sample before its views are made, in the native core's order. */
export interface Augmentation {
  readonly crop: CropRule;
  readonly mirrored: boolean;
  readonly jitter: readonly JitterStep[];
  /** Done to each view after resizing; absent: nothing. */
  readonly operations?: readonly ImageOperation[];
  /** The filter that resizes, where it is drawn; absent: each view's own. */
  readonly filter?: ImageFilter;
}

/** Draws augmentations: each a function of (seed, epoch, index). */
export interface Augmenter {
  draw(epoch: number, index: number): Augmentation;
}

const jitterKinds = ['brightness', 'contrast', 'saturation'] as const;

/** torchvision's ColorJitter(c, c, c): factors uniform in [max(0, 1−c), 1+c], in a random order. */
export function drawJitter(strength: number, draws: Draws): JitterStep[] {
  if (strength === 0) return [];
  const low = Math.max(0, 1 - strength);
  const steps = jitterKinds.map((kind) => ({ kind, factor: draws.between(low, 1 + strength) }));
  return draws.shuffle([0, 1, 2]).map((i) => steps[i]!);
}

/** A random crop of a share `minScale` … `maxScale` of the area; with `clamped` of one try (see `CropRule`). */
export function drawCrop(minScale: number, maxScale: number, draws: Draws, clamped = false): CropRule {
  const uniform = Float64Array.from({ length: randomCropDraws }, () => draws.uniform());
  return { kind: 'random', minScale, maxScale, clamped, draws: uniform };
}

/**
 * The augmentation of pretraining: colour jitter, mirroring, one random crop.
 *
 * @throws UserError for a crop size or a jitter out of range
 */
export function randomAugmenter(options: AugmentationOptions): Augmenter {
  const { cropMinSize: minScale, cropMaxSize: maxScale, colorJitter, flip = 0.5 } = options;
  if (!(minScale > 0 && minScale <= maxScale && maxScale <= 1)) {
    throw new UserError(
      `crop sizes ${minScale} to ${maxScale}: give 0 < --crop_min_size <= --crop_max_size <= 1`,
    );
  }
  if (!(colorJitter >= 0 && Number.isFinite(colorJitter))) {
    throw new UserError(`--color_jitter ${colorJitter}: give 0 or more`);
  }
  return {
    draw(epoch, index) {
      const draws = new Draws(options.seed, dataStream.augmentation, epoch, index);
      const jitter = drawJitter(colorJitter, draws);
      const mirrored = draws.uniform() < flip;
      return { crop: drawCrop(minScale, maxScale, draws), mirrored, jitter };
    },
  };
}

/** No randomness: the whole picture resized, then its centre. */
export const centreAugmenter: Augmenter = {
  draw: () => ({ crop: { kind: 'centre' }, mirrored: false, jitter: [] }),
};
