import { UserError } from '../errors.js';
import type { Augmenter } from './augmentations.js';
import { BadImages } from './bad-images.js';
import { type BatchArrays, BatchReader, type ViewSpec } from './batch-reader.js';
import { ImageReader } from './image-reader.js';
import type { ImageSet } from './image-set.js';
import type { MaskGenerator } from './masks.js';
import { BatchSampler } from './sampler.js';

export interface LoaderOptions {
  readonly images: ImageSet;
  /** Images a batch (on each rank). */
  readonly batchSize: number;
  readonly seed: number;
  /** What to make of each image; a batch holds one array a view. */
  readonly views: readonly ViewSpec[];
  readonly augmenter: Augmenter;
  /** Absent: batches have no masks. */
  readonly masks?: MaskGenerator;
  /** Threads that decode (`--num_workers`); 0 counts as 1, since decoding never runs on the JavaScript thread. */
  readonly numWorkers: number;
  /** Batches read ahead of the one asked for; default 2. */
  readonly prefetchBatches?: number;
  readonly shuffle?: boolean;
  readonly dropLast?: boolean;
  readonly rank?: number;
  readonly worldSize?: number;
  /** Whether ranks get equally many images, by repeating some; default true. */
  readonly pad?: boolean;
  /** `--on_bad_image`; absent: an unreadable image is an error, which does not name the flag. */
  readonly onBadImage?: 'stop' | 'skip' | undefined;
  /** Takes a line for each skipped image; default: standard error. */
  readonly log?: (line: string) => void;
}

/** The next batch a loader yields: both count from 0. Part of a checkpoint. */
export interface LoaderPosition {
  readonly epoch: number;
  readonly batch: number;
}

export interface Batch {
  /** Samples, B. */
  readonly size: number;
  /** One a view, in the order of the options: [B, size, size, 3] bytes. */
  readonly views: readonly Uint8Array[];
  /** [B, N], 1 = masked; empty without a mask generator. */
  readonly masks: Uint8Array;
  /** Class of each image, of the one that was read. */
  readonly labels: Int32Array;
  /** What was read for each sample: its file's path. */
  readonly files: readonly string[];
  /** The image whose turn it was, by its place in the data set: what a sample's randomness goes by. */
  readonly indices: Int32Array;
  readonly epoch: number;
  readonly batch: number;
  /** epoch · batchesPerEpoch + batch */
  readonly globalIndex: number;
  /** Gives the arrays back for a later batch. Without it they are garbage like any other, but not reused. */
  release(): void;
}

interface Ahead {
  readonly position: LoaderPosition;
  readonly result: Promise<Batch>;
}

/**
 * Reads batches ahead, in order, epoch after epoch without end. What a batch holds is a function of (seed, epoch,
 * batch) alone, so `seek` continues a stopped run with the batch it would have had. No more than `prefetchBatches`
 * batches are in the making, whatever the consumer's pace.
 */
export class Loader implements AsyncIterable<Batch> {
  readonly batchesPerEpoch: number;
  private readonly sampler: BatchSampler;
  private readonly reader: ImageReader;
  private readonly batches: BatchReader;
  private readonly badImages: BadImages;
  private readonly prefetch: number;
  private ahead: Ahead[] = [];
  private free: BatchArrays[] = [];
  /** The next batch to start reading. */
  private upcoming: LoaderPosition = { epoch: 0, batch: 0 };
  private closed = false;
  private waited = 0;

  /** @throws UserError for a batch larger than the data set, or a count out of range */
  constructor(private readonly options: LoaderOptions) {
    const { images, batchSize, seed, numWorkers, prefetchBatches = 2 } = options;
    if (!Number.isInteger(numWorkers) || numWorkers < 0 || numWorkers > 1024) {
      throw new UserError(`--num_workers ${numWorkers}: give a whole number, 0 to 1024`);
    }
    if (!Number.isInteger(prefetchBatches) || prefetchBatches < 1) {
      throw new UserError(`${prefetchBatches} batches to read ahead: give a whole number, 1 or more`);
    }
    this.prefetch = prefetchBatches;
    this.sampler = new BatchSampler({ ...options, length: images.length, batchSize, seed });
    this.batchesPerEpoch = this.sampler.batchesPerEpoch;
    const log = options.log ?? ((line: string) => void process.stderr.write(`${line}\n`));
    this.badImages = new BadImages(options.onBadImage, images.length, log);
    this.reader = new ImageReader(Math.max(1, numWorkers));
    const { views, augmenter, masks } = options;
    const { reader, badImages } = this;
    this.batches = new BatchReader({ images, reader, views, augmenter, masks, badImages, seed });
  }

  /** Where `next` goes on. */
  get position(): LoaderPosition {
    return this.ahead[0]?.position ?? this.upcoming;
  }

  /** Distinct files skipped so far. */
  get badImageCount(): number {
    return this.badImages.count;
  }

  /** Seconds `next` has waited for batches that were not ready: what reading costs the consumer. */
  get waitSeconds(): number {
    return this.waited / 1000;
  }

  /** Batches read ahead or being read. */
  get batchesAhead(): number {
    return this.ahead.length;
  }

  /**
   * Goes to a batch; what was read ahead is dropped.
   *
   * @param batch 0 to `batchesPerEpoch`; the latter is the beginning of the next epoch
   */
  seek(epoch: number, batch: number): void {
    const known = Number.isInteger(epoch) && epoch >= 0 && Number.isInteger(batch) && batch >= 0;
    if (!known || batch > this.batchesPerEpoch) {
      throw new UserError(
        `cannot continue at batch ${batch} of epoch ${epoch}: an epoch has ${this.batchesPerEpoch} batches here; ` +
          'resume with the data set and batch size of the checkpoint',
      );
    }
    for (const { result } of this.ahead) {
      result.then(
        (dropped) => dropped.release(),
        () => {},
      );
    }
    this.ahead = [];
    this.upcoming = batch === this.batchesPerEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch };
  }

  /**
   * The next batch.
   *
   * @throws UserError for an image that cannot be read, in the batch that holds it; the loader stays at that batch
   */
  async next(): Promise<Batch> {
    if (this.closed) throw new Error('the loader is closed');
    this.readAhead();
    const first = this.ahead[0]!;
    const start = performance.now();
    try {
      const batch = await first.result;
      if (this.ahead[0] === first) this.ahead.shift();
      if (!this.closed) this.readAhead();
      return batch;
    } catch (error) {
      if (this.ahead[0] === first) this.seek(first.position.epoch, first.position.batch);
      throw error;
    } finally {
      this.waited += performance.now() - start;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, void> {
    while (!this.closed) yield await this.next();
  }

  /** Stops the threads; a pending `next` rejects. Closing twice does nothing. */
  close(): void {
    this.closed = true;
    this.ahead = [];
    this.free = [];
    this.reader.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private readAhead(): void {
    while (this.ahead.length < this.prefetch) {
      const position = this.upcoming;
      const result = this.read(position);
      // It is reported by the `next` that comes to it.
      result.catch(() => {});
      this.ahead.push({ position, result });
      const last = position.batch + 1 === this.batchesPerEpoch;
      this.upcoming = last
        ? { epoch: position.epoch + 1, batch: 0 }
        : { epoch: position.epoch, batch: position.batch + 1 };
    }
  }

  private async read({ epoch, batch }: LoaderPosition): Promise<Batch> {
    const { images, views, masks } = this.options;
    const indices = this.sampler.indices(epoch, batch);
    const size = indices.length;
    const arrays = this.free.pop() ?? this.batches.allocate(this.options.batchSize);
    const chosen = await this.batches.fill(arrays, indices, epoch);
    let held = true;
    return {
      size,
      views: views.map((view, v) => arrays.views[v]!.subarray(0, 3 * size * view.size * view.size)),
      masks: arrays.masks.subarray(0, size * (masks?.patches ?? 0)),
      labels: Int32Array.from(chosen, (index) => images.label(index)),
      files: chosen.map((index) => images.path(index)),
      indices: Int32Array.from(indices),
      epoch,
      batch,
      globalIndex: epoch * this.batchesPerEpoch + batch,
      release: () => {
        if (!held) return;
        held = false;
        if (!this.closed && this.free.length < this.prefetch) this.free.push(arrays);
      },
    };
  }
}
