import { UserError } from '../errors.js';
import { type Augmenter, centreAugmenter } from './augmentations.js';
import type { ViewSpec } from './batch-reader.js';
import { type Batch, Loader, type LoaderOptions, type LoaderPosition } from './loader.js';
import { createRandomErasing, type RandomErasing } from './random-erasing.js';
import { type FineTuneAugmenterOptions, fineTuneAugmenter, probeAugmenter } from './train-augmenter.js';

/** A batch of labelled pictures. */
export interface ClassificationBatch extends Batch {
  /** [B, S, S, 3] bytes, not normalised. */
  readonly images: Uint8Array;
  /**
   * i32 [B, K, 4] for `eraseBoxes` after normalisation: top, left, height and width of what random erasing takes, 0, 0,
   * 0, 0 for none. Empty (K = 0) without random erasing.
   */
  readonly erasing: Int32Array;
}

/** A loader of labelled pictures. */
export interface ClassificationLoader extends AsyncIterable<ClassificationBatch> {
  readonly batchesPerEpoch: number;
  /** Pictures of one epoch over all batches of this rank. */
  readonly imagesPerEpoch: number;
  /** Boxes a picture in `erasing`, K. */
  readonly erasedBoxes: number;
  readonly position: LoaderPosition;
  readonly badImageCount: number;
  readonly waitSeconds: number;
  seek(epoch: number, batch: number): void;
  next(): Promise<ClassificationBatch>;
  close(): void;
}

/** What every loader of labelled pictures is told. */
export type ClassificationLoaderOptions = Pick<
  LoaderOptions,
  | 'images'
  | 'batchSize'
  | 'seed'
  | 'numWorkers'
  | 'prefetchBatches'
  | 'rank'
  | 'worldSize'
  | 'onBadImage'
  | 'log'
> & {
  /** Side of the picture (`--input_size`). */
  readonly inputSize: number;
};

interface Plan {
  readonly view: ViewSpec;
  readonly augmenter: Augmenter;
  readonly erasing?: RandomErasing;
  readonly order: Pick<LoaderOptions, 'shuffle' | 'dropLast' | 'pad'>;
}

function create(options: ClassificationLoaderOptions, plan: Plan): ClassificationLoader {
  const { inputSize, images, batchSize, rank = 0, worldSize = 1, ...rest } = options;
  if (!(Number.isInteger(inputSize) && inputSize >= 1)) {
    throw new UserError(`--input_size ${inputSize}: give a whole number of pixels, 1 or more`);
  }
  const { view, augmenter, erasing, order } = plan;
  const loader = new Loader({
    ...rest,
    ...order,
    images,
    batchSize,
    rank,
    worldSize,
    views: [view],
    augmenter,
  });
  const boxes = erasing?.boxes ?? 0;
  const next = async (): Promise<ClassificationBatch> => {
    const batch = await loader.next();
    const boxesOf = new Int32Array(batch.size * boxes * 4);
    for (let i = 0; i < batch.size && erasing !== undefined; i++) {
      boxesOf.set(erasing.draw(batch.epoch, batch.indices[i]!), i * boxes * 4);
    }
    return { ...batch, images: batch.views[0]!, erasing: boxesOf };
  };
  const whole = loader.batchesPerEpoch * batchSize;
  const share = Math.ceil((images.length - (order.pad === false ? rank : 0)) / worldSize);
  return {
    batchesPerEpoch: loader.batchesPerEpoch,
    imagesPerEpoch: order.dropLast === false ? Math.max(0, share) : whole,
    erasedBoxes: boxes,
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

export type FineTuneLoaderOptions = ClassificationLoaderOptions &
  Omit<FineTuneAugmenterOptions, 'seed'> & {
    /** Probability of random erasing (`--reprob`); 0 is never. */
    readonly reprob: number;
    /** Most boxes it takes from a picture (`--recount`); default 1. */
    readonly recount?: number | undefined;
  };

/**
 * The training pictures of fine-tuning, shuffled, incomplete last batches left out: see `fineTuneAugmenter` and
 * `createRandomErasing`.
 *
 * @throws UserError for an option out of range, naming its flag
 */
export function createFineTuneLoader(options: FineTuneLoaderOptions): ClassificationLoader {
  const { trainInterpolation, aa, colorJitter, mean, reprob, recount, ...rest } = options;
  const { seed, inputSize } = rest;
  return create(rest, {
    view: { size: inputSize, filter: 'bicubic' },
    augmenter: fineTuneAugmenter({ seed, colorJitter, mean, aa, trainInterpolation }),
    ...(reprob === 0 ? {} : { erasing: createRandomErasing({ seed, size: inputSize, reprob, recount }) }),
    order: { shuffle: true, dropLast: true },
  });
}

/** The training pictures of the probes, shuffled, incomplete last batches left out: see `probeAugmenter`. */
export function createProbeLoader(options: ClassificationLoaderOptions): ClassificationLoader {
  return create(options, {
    view: { size: options.inputSize, filter: 'bicubic' },
    augmenter: probeAugmenter(options.seed),
    order: { shuffle: true, dropLast: true },
  });
}

/** The longest that the shorter side of a resized picture may be. */
const largestSide = 65_536;

/** What share of the resized picture's side evaluation keeps, unless `--crop_pct` says so. */
export function defaultCropPct(inputSize: number): number {
  return inputSize < 384 ? 224 / 256 : 1;
}

export type EvalLoaderOptions = ClassificationLoaderOptions & {
  /** `--crop_pct`: share of the resized picture's shorter side that is kept; default `defaultCropPct`. */
  readonly cropPct?: number | undefined;
};

/**
 * Pictures to evaluate on, each once an epoch and in order, the last batch as short as it comes: the shorter side
 * resized (bicubic) to inputSize / cropPct, then the centre. Ranks share them out without repeating any.
 *
 * @throws UserError for an option out of range, naming its flag
 */
export function createEvalLoader(options: EvalLoaderOptions): ClassificationLoader {
  const { cropPct = defaultCropPct(options.inputSize), ...rest } = options;
  if (!(cropPct > 0 && cropPct <= 1)) {
    throw new UserError(`--crop_pct ${cropPct}: give a share of the side, over 0 and up to 1`);
  }
  const { inputSize } = rest;
  const shorter = Math.floor(inputSize / cropPct);
  if (shorter > largestSide) {
    throw new UserError(
      `--crop_pct ${cropPct}: pictures would be resized to ${shorter} pixels, and at most ${largestSide} are; raise it`,
    );
  }
  // Room for more pictures than there are would be memory for nothing.
  const batchSize = Math.min(rest.batchSize, Math.max(1, rest.images.length));
  return create(
    { ...rest, batchSize },
    {
      view: { size: inputSize, shorter, filter: 'bicubic' },
      augmenter: centreAugmenter,
      order: { shuffle: false, dropLast: false, pad: false },
    },
  );
}

/** The batches of one pass over a loader, from its next epoch's first one on. */
export async function* onePass(
  loader: ClassificationLoader,
): AsyncGenerator<ClassificationBatch, void, void> {
  const { epoch, batch } = loader.position;
  if (batch !== 0) loader.seek(epoch, 0);
  for (let i = 0; i < loader.batchesPerEpoch; i++) yield await loader.next();
}
