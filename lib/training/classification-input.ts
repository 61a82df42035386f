import type { ClassificationBatch } from '../data/classification-loader.js';
import { type Mix, type Mixup, softTargets } from '../data/mixup.js';
import { dataStream } from '../data/random.js';
import { type EraseMode, eraseBoxes, mixImages } from '../tensor/ops/augment.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { InputRing } from './input-ring.js';
import { ImageNormalizer, type Normalization, picturesShape } from './pretrain.js';

export interface ClassificationInputOptions {
  readonly normalization: Normalization;
  readonly seed: number;
  readonly classes: number;
  /** What random erasing leaves in its boxes (`--remode`); default `pixel`. */
  readonly remode?: EraseMode | undefined;
  /** mixup and CutMix; absent: neither. */
  readonly mixup?: Mixup | undefined;
  /** Label smoothing (`--smoothing`) of the targets; default 0. */
  readonly smoothing?: number | undefined;
}

/** What a classifier trains on. */
export interface TrainInput {
  /** f32 [B, 3, S, S]: normalised, erased, mixed. */
  readonly images: Tensor;
  /** f32 [B, classes]: each row a distribution. */
  readonly targets: Tensor;
}

/**
 * Turns a loader's bytes into a step's input on the device that trains, in timm's order: normalisation, random erasing,
 * mixup or CutMix. Everything is a function of (seed, epoch, batch) and of the batch's bytes.
 */
export class ClassificationInput {
  readonly #options: ClassificationInputOptions;
  readonly #normalizer: ImageNormalizer;
  readonly #ring = new InputRing<'pixels'>();

  constructor(options: ClassificationInputOptions) {
    this.#options = options;
    this.#normalizer = new ImageNormalizer(options.normalization);
  }

  /** @throws UserError for an odd batch with mixup or CutMix */
  train(batch: ClassificationBatch): TrainInput {
    const { mixup, classes, smoothing = 0 } = this.#options;
    const mix = mixup?.draw(batch.epoch, batch.batch, batch.size);
    const pixels = { data: batch.images, shape: picturesShape(batch.images, batch.size) };
    return scope(() => {
      const images = this.#normalizer.normalize(this.#ring.put({ pixels }).pixels, false);
      this.#erase(images, batch);
      const targets = softTargets(batch.labels, classes, smoothing, mix);
      return {
        images: mix === undefined || mix.unchanged ? images : this.#mix(images, mix),
        targets: Tensor.from(targets, [batch.size, classes]),
      };
    });
  }

  /** Normalised pictures, f32 [B, 3, S, S]. */
  eval(batch: ClassificationBatch): Tensor {
    return this.#normalizer.apply(batch.images, batch.size, false);
  }

  dispose(): void {
    this.#normalizer.dispose();
    this.#ring.dispose();
  }

  #erase(images: Tensor, { size, erasing, indices, epoch }: ClassificationBatch): void {
    // Often no picture of a small batch loses anything.
    if (erasing.every((value) => value === 0)) return;
    const { seed, remode = 'pixel' } = this.#options;
    const boxes = Tensor.from(erasing, [size, erasing.length / (4 * size), 4]);
    const noise = { seed, stream: dataStream.erasingNoise, step: epoch };
    eraseBoxes(images, boxes, Tensor.from(indices, [size]), remode, noise);
  }

  #mix(images: Tensor, { partner, weight, boxes }: Mix): Tensor {
    const count = partner.length;
    return mixImages(
      images,
      Tensor.from(partner, [count]),
      Tensor.from(weight, [count]),
      Tensor.from(boxes, [count, 4]),
    );
  }
}
