import type { LoaderPosition } from '../data/loader.js';

/** As much of a loader as the loop needs. */
export interface SeekableLoader<B> {
  readonly position: LoaderPosition;
  seek(epoch: number, batch: number): void;
  next(): Promise<B>;
}

/**
 * Batches of a loader from a place on. A loader that stands there already keeps what it has read ahead: from one
 * epoch to the next nothing is read twice.
 */
export async function* batchesFrom<B>(
  loader: SeekableLoader<B>,
  epoch: number,
  first: number,
): AsyncGenerator<B, void, void> {
  const { position } = loader;
  if (position.epoch !== epoch || position.batch !== first) loader.seek(epoch, first);
  for (;;) yield await loader.next();
}

/** Batches of which the first is there already: what is wrong with it has been met, before anything was written. */
export interface PrimedBatches<B> extends AsyncIterator<B> {
  /** Ends the reading; a first batch that nobody took is given back. */
  return(): Promise<IteratorResult<B>>;
}

/** Reads the first batch. @throws UserError where it cannot be read */
export async function primeBatches<B extends { release(): void }>(
  batches: AsyncIterable<B>,
): Promise<PrimedBatches<B>> {
  const rest = batches[Symbol.asyncIterator]();
  let first: IteratorResult<B> | undefined = await rest.next();
  return {
    async next() {
      const result = first ?? (await rest.next());
      first = undefined;
      return result;
    },
    async return() {
      if (first !== undefined && first.done !== true) first.value.release();
      first = undefined;
      return (await rest.return?.()) ?? { done: true, value: undefined };
    },
  };
}
