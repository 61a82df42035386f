import type { ImageFilter } from '../native/image.js';
import { randomAugmenter } from './augmentations.js';
import type { ViewSpec } from './batch-reader.js';
import { type Batch, Loader, type LoaderOptions, type LoaderPosition } from './loader.js';
import { createMaskGenerator, type MaskOptions } from './masks.js';

type Sizes = {
  /** Side of the encoder's picture (`--input_size`). */
  readonly inputSize: number;
  readonly inputFilter: ImageFilter;
  /** Side of the tokenizer's picture (`--second_input_size`). */
  readonly secondInputSize: number;
  readonly secondFilter: ImageFilter;
  readonly cropMinSize: number;
  readonly cropMaxSize: number;
  readonly colorJitter: number;
};

export type PretrainLoaderOptions = Omit<LoaderOptions, 'views' | 'augmenter' | 'masks'> &
  Sizes & { readonly mask: Omit<MaskOptions, 'seed'> };

/** A batch of pretraining. */
export interface PretrainBatch extends Batch {
  /** [B, S, S, 3] bytes: the encoder's view. */
  readonly images: Uint8Array;
  /** [B, T, T, 3] bytes: the same crop, resized for the tokenizer. */
  readonly tokenizerImages: Uint8Array;
}

/** A loader of pretraining batches: two views of one random crop, and a mask. */
export interface PretrainLoader extends AsyncIterable<PretrainBatch> {
  readonly batchesPerEpoch: number;
  /** Patches each mask masks. */
  readonly maskedPatches: number;
  readonly position: LoaderPosition;
  readonly badImageCount: number;
  readonly waitSeconds: number;
  seek(epoch: number, batch: number): void;
  next(): Promise<PretrainBatch>;
  close(): void;
}

/**
 * The input of CAE pretraining: colour jitter, mirroring and one random crop, resized to both views.
 *
 * @throws UserError for an option out of range, naming its flag
 */
export function createPretrainLoader(options: PretrainLoaderOptions): PretrainLoader {
  const { seed, inputSize, inputFilter, secondInputSize, secondFilter, mask, ...rest } = options;
  const views: ViewSpec[] = [
    { size: inputSize, filter: inputFilter },
    { size: secondInputSize, filter: secondFilter },
  ];
  const masks = createMaskGenerator({ ...mask, seed });
  const loader = new Loader({ ...rest, seed, views, masks, augmenter: randomAugmenter({ ...rest, seed }) });
  const next = async (): Promise<PretrainBatch> => {
    const batch = await loader.next();
    return { ...batch, images: batch.views[0]!, tokenizerImages: batch.views[1]! };
  };
  return {
    batchesPerEpoch: loader.batchesPerEpoch,
    maskedPatches: masks.masked,
    get position() {
      return loader.position;
    },
    get badImageCount() {
      return loader.badImageCount;
    },
    get waitSeconds() {
      return loader.waitSeconds;
    },
    seek: (epoch, batch) => loader.seek(epoch, batch),
    next,
    close: () => loader.close(),
    async *[Symbol.asyncIterator]() {
      for (;;) yield await next();
    },
  };
}
