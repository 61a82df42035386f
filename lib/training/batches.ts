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
