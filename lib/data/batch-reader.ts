import type { ImageView } from '../native/image.js';
import type { Augmenter } from './augmentations.js';
import type { BadImages } from './bad-images.js';
import type { ImageReader, ReadRequest } from './image-reader.js';
import type { ImageSet } from './image-set.js';
import type { MaskGenerator } from './masks.js';
import { Draws, dataStream } from './random.js';

/** One picture to make of each image. */
export type ViewSpec = Pick<ImageView, 'size' | 'shorter' | 'filter'>;

/** The arrays of one batch, `batchSize` samples long. */
export interface BatchArrays {
  /** One a view: [B, size, size, 3], 0 … 255. */
  readonly views: readonly Uint8Array[];
  /** [B, N], 1 = masked; empty without a mask generator. */
  readonly masks: Uint8Array;
}

export interface BatchReaderOptions {
  readonly images: ImageSet;
  readonly reader: ImageReader;
  readonly views: readonly ViewSpec[];
  readonly augmenter: Augmenter;
  readonly masks: MaskGenerator | undefined;
  readonly badImages: BadImages;
  readonly seed: number;
}

/** Bytes of one sample of a view. */
function bytesOf(view: ViewSpec): number {
  return 3 * view.size * view.size;
}

/** Fills batches: what lands in a slot is a function of (seed, epoch, index of its image) and of the files. */
export class BatchReader {
  constructor(private readonly options: BatchReaderOptions) {}

  allocate(batchSize: number): BatchArrays {
    const { views, masks } = this.options;
    return {
      views: views.map((view) => new Uint8Array(batchSize * bytesOf(view))),
      masks: new Uint8Array(batchSize * (masks?.patches ?? 0)),
    };
  }

  /**
   * Reads images `indices` into `arrays` from their first slot on. Returns the index of the image behind each slot:
   * another one where one cannot be read.
   *
   * @throws UserError for an unreadable image that may not be skipped
   */
  async fill(arrays: BatchArrays, indices: readonly number[], epoch: number): Promise<number[]> {
    const { images, masks, reader, badImages } = this.options;
    for (const [slot, index] of indices.entries()) {
      if (masks !== undefined) arrays.masks.set(masks.generate(epoch, index), slot * masks.patches);
    }
    const chosen = [...indices];
    let slots = indices.map((_, slot) => slot);
    const substitutes = new Map<number, Draws>();
    while (slots.length > 0) {
      const unread = slots.filter((slot) => !badImages.has(images.path(chosen[slot]!)));
      const reports = await reader.read(
        unread.map((slot) => this.request(arrays, slot, chosen[slot]!, epoch, indices[slot]!)),
      );
      const bad = new Set(slots.filter((slot) => !unread.includes(slot)));
      for (const [i, slot] of unread.entries()) {
        const error = reports[i]!.error;
        if (error === undefined) continue;
        badImages.add(images.path(chosen[slot]!), error);
        bad.add(slot);
      }
      // Another image takes the place of one that cannot be read: the same one whenever this slot is filled.
      slots = slots.filter((slot) => bad.has(slot));
      for (const slot of slots) {
        const draws = substitutes.get(slot) ?? this.substitutes(epoch, indices[slot]!);
        substitutes.set(slot, draws);
        chosen[slot] = draws.below(images.length);
      }
    }
    return chosen;
  }

  private substitutes(epoch: number, index: number): Draws {
    return new Draws(this.options.seed, dataStream.replacement, epoch, index);
  }

  private request(
    arrays: BatchArrays,
    slot: number,
    image: number,
    epoch: number,
    index: number,
  ): ReadRequest {
    const augmentation = this.options.augmenter.draw(epoch, index);
    const views = this.options.views.map((view, v) => ({
      ...view,
      filter: augmentation.filter ?? view.filter,
      out: arrays.views[v]!,
      offset: slot * bytesOf(view),
    }));
    return { ...this.options.images.source(image), ...augmentation, views };
  }
}
