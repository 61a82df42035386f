import { keep, scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import { type NumberArray, readAll, type Tensor } from '../tensor/tensor.js';
import type { TrainingBatch } from './training-task.js';

/** A loader of one pass over its data, again and again. */
export interface EpochLoader<B> {
  readonly batchesPerEpoch: number;
  seek(epoch: number, batch: number): void;
  next(): Promise<B>;
}

/** The batches of one epoch, from its first on. */
export async function* epochBatches<B>(loader: EpochLoader<B>, epoch = 0): AsyncGenerator<B, void, void> {
  loader.seek(epoch, 0);
  for (let batch = 0; batch < loader.batchesPerEpoch; batch++) yield await loader.next();
}

/** Forward passes the host may be ahead of what it has read. */
const ahead = 2;

/**
 * Runs a forward pass without gradient over batches and hands their outputs over in order, each read while the next
 * one computes.
 * @param forward runs in a scope of its own; the tensor it gives passes to this function
 */
export async function* outputs<B extends TrainingBatch>(
  batches: AsyncIterable<B>,
  forward: (batch: B) => Tensor,
): AsyncGenerator<{ batch: B; data: NumberArray }, void, void> {
  const pending: { batch: B; tensor: Tensor; values: ReturnType<typeof readAll> }[] = [];
  const settle = async (): Promise<{ batch: B; data: NumberArray }> => {
    const { batch, tensor, values } = pending[0] as (typeof pending)[number];
    const [data] = await values;
    pending.shift();
    tensor.release();
    return { batch, data: data as NumberArray };
  };
  try {
    for await (const batch of batches) {
      try {
        const tensor = keep(noGrad(() => scope(() => forward(batch))));
        const values = readAll([tensor]);
        // Reported by the `settle` that comes to it, or not at all where the caller stops before.
        values.catch(() => undefined);
        pending.push({ batch, tensor, values });
      } finally {
        batch.release();
      }
      if (pending.length >= ahead) yield await settle();
    }
    while (pending.length > 0) yield await settle();
  } finally {
    for (const { tensor, values } of pending) {
      await values.catch(() => undefined);
      tensor.release();
    }
  }
}
