import { native } from './addon.js';
import type { NativeAddon } from './bindings.js';

/** Threads that read pictures: opaque here. */
export interface ImagePool {
  readonly nativeImagePool: unique symbol;
}

/** Pillow's resampling filters. */
export type ImageFilter = 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

/** `[top, left, height, width]` in pixels. */
export type CropBox = readonly [number, number, number, number];

/** Uniform draws a random crop takes: area and aspect ratio of ten tries, then top and left. */
export const randomCropDraws = 22;

/**
 * What to keep of a picture: a rectangle; torchvision's RandomResizedCrop (scale = share of the area, aspect ratio
 * log-uniform in 3/4 … 4/3) as a function of `randomCropDraws` numbers in [0, 1), or with `clamped` one try of it,
 * its sides cut to the picture's; or the whole picture resized and then its centre.
 */
export type CropRule =
  | CropBox
  | {
      readonly kind: 'random';
      readonly minScale: number;
      readonly maxScale: number;
      readonly clamped?: boolean;
      readonly draws: Float64Array;
    }
  | { readonly kind: 'centre' };

/** One step of torchvision's ColorJitter on a PIL picture; factor 1 changes nothing. */
export interface JitterStep {
  readonly kind: 'brightness' | 'contrast' | 'saturation';
  readonly factor: number;
}

/** Red, green and blue, 0 … 255. */
export type Colour = readonly [number, number, number];

/** Filters of an operation that moves pixels. */
export type AffineFilter = 'nearest' | 'bilinear' | 'bicubic';

/**
 * A change of a picture that keeps its size, to the byte Pillow's: ImageOps of that name; ImageEnhance with `value` as
 * its factor; `posterize` to `value` bits (0 … 8); `solarize` from `value` (0 … 256) up; `solarizeAdd`: `value` (0 …
 * 255) added below 128; and affine transforms: `rotate` by `value` degrees counter-clockwise, `shear` by the factor
 * `value`, `translate` to the left or up by the share `value` of the picture's side. What those uncover is `fill`.
 */
export type ImageOperation =
  | { readonly kind: 'mirror' | 'autoContrast' | 'equalize' | 'invert' }
  | {
      readonly kind:
        | 'posterize'
        | 'solarize'
        | 'solarizeAdd'
        | 'brightness'
        | 'contrast'
        | 'saturation'
        | 'sharpness';
      readonly value: number;
    }
  | {
      readonly kind: 'rotate' | 'shearX' | 'shearY' | 'translateX' | 'translateY';
      readonly value: number;
      readonly filter: AffineFilter;
      readonly fill: Colour;
    };

/** `size`×`size` RGB pixels to write at byte `offset` of `out`. */
export interface ImageView {
  readonly out: Uint8Array;
  readonly offset: number;
  readonly size: number;
  /** For a centre crop: what the picture's shorter side is resized to before; `size` if absent. */
  readonly shorter?: number;
  readonly filter: ImageFilter;
}

/** The order is fixed: jitter, mirroring, crop, then each view from that one crop, then the operations on each. */
export interface ImageTransform {
  readonly crop: CropRule;
  readonly mirrored: boolean;
  readonly jitter: readonly JitterStep[];
  readonly views: readonly ImageView[];
  /** Done to each view once it is resized. */
  readonly operations?: readonly ImageOperation[];
}

export type ImageSource =
  | { readonly path: string }
  /** RGB pixels, 3 bytes each, without gaps. */
  | { readonly pixels: Uint8Array; readonly height: number; readonly width: number };

export type ImageJob = ImageSource & ImageTransform;

export interface ImageReport {
  /** `other-format`: the file is no JPEG, and was not read further. */
  readonly outcome: 'done' | 'failed' | 'other-format';
  /** Why it failed; else empty. */
  readonly message: string;
  /** Of the whole picture. */
  readonly height: number;
  readonly width: number;
  /** In the picture after mirroring. */
  readonly crop: CropBox;
}

/** The image family of native/binding. */
export interface NativeImages {
  /** A pool of `threads` (1 to 1024) threads. Idle, it does not keep the process alive. */
  imagePool(threads: number): ImagePool;
  /** Drops queued jobs and waits for the running ones; promises of unfinished batches are rejected. */
  imagePoolClose(pool: ImagePool): void;
  /**
   * Runs all jobs; one report each, in their order. A job that fails does not fail the batch. The arrays must not
   * be touched until the promise settles.
   */
  imageDecodeBatch(pool: ImagePool, jobs: readonly ImageJob[]): Promise<ImageReport[]>;
  /** Crop, then resize to `size`×`size`, at once: the bytes of Pillow's crop and resize. */
  imageResizedCrop(
    pixels: Uint8Array,
    height: number,
    width: number,
    crop: CropBox,
    size: number,
    filter: ImageFilter,
  ): Uint8Array;
}

export const nativeImages = native as NativeAddon & NativeImages;
