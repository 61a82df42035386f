import { UserError } from '../errors.js';
import { Draws, dataStream } from './random.js';

export interface SamplerOptions {
  /** Images in the data set. */
  readonly length: number;
  /** Images a batch, on each rank. */
  readonly batchSize: number;
  readonly seed: number;
  readonly shuffle?: boolean;
  /** Whether an incomplete last batch is left out; default true. */
  readonly dropLast?: boolean;
  readonly rank?: number;
  readonly worldSize?: number;
  /**
   * Whether each rank gets equally many images, by repeating the first ones; default true. Without it every image is
   * dealt out once, and a rank may have a batch less than another.
   */
  readonly pad?: boolean;
}

/**
 * Which images make up a batch, as a function of (seed, epoch, batch): a permutation of the data set, padded with
 * its beginning to divide by the number of ranks, dealt out to them in turn (PyTorch's DistributedSampler).
 */
export class BatchSampler {
  /** Batches of one epoch, the same on every rank. */
  readonly batchesPerEpoch: number;
  private readonly rank: number;
  private readonly worldSize: number;
  private readonly shuffled: boolean;
  /** Images of this rank. */
  private readonly share: number;
  private epoch = -1;
  private order: Uint32Array = new Uint32Array(0);

  /** @throws UserError where a batch over all ranks is larger than the data set */
  constructor(private readonly options: SamplerOptions) {
    const { length, batchSize, dropLast = true } = options;
    this.rank = options.rank ?? 0;
    this.worldSize = options.worldSize ?? 1;
    this.shuffled = options.shuffle ?? true;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new UserError(`--batch_size ${batchSize}: give a whole number, 1 or more`);
    }
    if (length === 0) throw new UserError('the data set has no images');
    const { rank, worldSize } = this;
    if (
      !(
        Number.isInteger(worldSize) &&
        worldSize >= 1 &&
        Number.isInteger(rank) &&
        rank >= 0 &&
        rank < worldSize
      )
    ) {
      throw new UserError(`rank ${rank} of ${worldSize}: a rank lies between 0 and the number of ranks`);
    }
    if (dropLast && batchSize * worldSize > length) {
      const ranks = worldSize === 1 ? '' : ` on each of ${worldSize} ranks`;
      throw new UserError(
        `--batch_size ${batchSize}${ranks} is larger than the data set of ${length} images; give a smaller one`,
      );
    }
    this.share = Math.ceil(((options.pad ?? true) ? length : Math.max(0, length - rank)) / worldSize);
    this.batchesPerEpoch = dropLast
      ? Math.floor(length / batchSize / worldSize)
      : Math.ceil(this.share / batchSize);
  }

  /** The epoch's order of all images, before it is dealt out to the ranks. */
  private permutation(epoch: number): Uint32Array {
    if (epoch === this.epoch) return this.order;
    const order = Uint32Array.from({ length: this.options.length }, (_, i) => i);
    if (this.shuffled) new Draws(this.options.seed, dataStream.permutation, epoch, 0).shuffle(order);
    this.epoch = epoch;
    this.order = order;
    return order;
  }

  /** Indices into the data set of this rank's batch `batch` of epoch `epoch`, both from 0. */
  indices(epoch: number, batch: number): number[] {
    if (batch < 0 || batch >= this.batchesPerEpoch) {
      throw new RangeError(`batch ${batch} of an epoch of ${this.batchesPerEpoch}`);
    }
    const order = this.permutation(epoch);
    const end = Math.min(this.share, (batch + 1) * this.options.batchSize);
    const chosen: number[] = [];
    for (let i = batch * this.options.batchSize; i < end; i++) {
      chosen.push(order[(i * this.worldSize + this.rank) % order.length]!);
    }
    return chosen;
  }
}
