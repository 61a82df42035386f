import { totalmem } from 'node:os';
import type { ClassificationBatch } from '../data/classification-loader.js';
import { BatchSampler } from '../data/sampler.js';
import { UserError } from '../errors.js';
import type { Tensor } from '../tensor/tensor.js';
import type { LabelledBatch } from './classify.js';
import { outputs } from './outputs.js';

/** A batch of what a frozen encoder made of pictures. */
export interface FeatureBatch extends LabelledBatch {
  /** [B, …shape] */
  readonly data: Float32Array;
  /** Of one picture's features. */
  readonly shape: readonly number[];
}

/** Features of a whole data set, in its order. */
export interface CachedFeatures {
  /** [pictures, …shape] */
  readonly data: Float32Array;
  readonly shape: readonly number[];
  readonly labels: Int32Array;
  readonly files: readonly string[];
}

/** The share of the machine's memory that cached features may take. */
const memoryShare = 0.6;

/**
 * Computes the features of all pictures once.
 * @param batches one pass over them, in order
 * @param pictures how many they are
 * @param forward f32 [B, …shape]
 * @throws UserError where they would not fit into memory
 */
export async function cacheFeatures(
  batches: AsyncIterable<ClassificationBatch>,
  pictures: number,
  forward: (batch: ClassificationBatch) => Tensor,
  onProgress: (pictures: number) => void = () => undefined,
): Promise<CachedFeatures> {
  let shape: readonly number[] = [];
  const measured = (batch: ClassificationBatch): Tensor => {
    const tensor = forward(batch);
    shape = tensor.shape.slice(1);
    return tensor;
  };
  let data: Float32Array | undefined;
  const labels = new Int32Array(pictures);
  const files: string[] = [];
  let done = 0;
  for await (const { batch, data: rows } of outputs(batches, measured)) {
    const width = rows.length / batch.size;
    data ??= allocate(pictures, width);
    data.set(rows, done * width);
    labels.set(batch.labels, done);
    files.push(...batch.files);
    done += batch.size;
    onProgress(done);
  }
  if (data === undefined || done !== pictures) throw new Error(`${done} of ${pictures} pictures were seen`);
  return { data, shape, labels, files };
}

function allocate(pictures: number, width: number): Float32Array {
  const bytes = 4 * pictures * width;
  if (bytes > memoryShare * totalmem()) {
    const gib = (size: number): string => `${(size / 2 ** 30).toFixed(1)} GiB`;
    throw new UserError(
      `--cache_features: the features of ${pictures} pictures take ${gib(bytes)} of this machine's ${gib(totalmem())}; leave it out`,
    );
  }
  return new Float32Array(pictures * width);
}

/** Rows of cached features as a batch. */
function rowsOf({ data, shape, labels, files }: CachedFeatures, indices: readonly number[]): FeatureBatch {
  const width = shape.reduce((product, extent) => product * extent, 1);
  const rows = new Float32Array(indices.length * width);
  for (const [i, index] of indices.entries()) {
    rows.set(data.subarray(index * width, (index + 1) * width), i * width);
  }
  return {
    data: rows,
    shape,
    size: indices.length,
    labels: Int32Array.from(indices, (index) => labels[index] as number),
    files: indices.map((index) => files[index] as string),
    release: () => undefined,
  };
}

/** Shuffled batches of cached features, incomplete last ones left out: a function of (seed, epoch, batch). */
export class FeatureBatches {
  readonly batchesPerEpoch: number;
  readonly #sampler: BatchSampler;

  /** @throws UserError for a batch larger than the data set */
  constructor(
    private readonly cached: CachedFeatures,
    batchSize: number,
    seed: number,
  ) {
    this.#sampler = new BatchSampler({ length: cached.labels.length, batchSize, seed });
    this.batchesPerEpoch = this.#sampler.batchesPerEpoch;
  }

  /** Batches of an epoch from number `first` on. */
  async *from(epoch: number, first: number): AsyncGenerator<FeatureBatch, void, void> {
    for (let batch = first; batch < this.batchesPerEpoch; batch++) {
      yield rowsOf(this.cached, this.#sampler.indices(epoch, batch));
    }
  }
}

/** All cached features in order, in batches. */
export async function* featuresInOrder(
  cached: CachedFeatures,
  batchSize: number,
): AsyncGenerator<FeatureBatch, void, void> {
  const count = cached.labels.length;
  for (let start = 0; start < count; start += batchSize) {
    const length = Math.min(batchSize, count - start);
    yield rowsOf(
      cached,
      Array.from({ length }, (_, i) => start + i),
    );
  }
}
