/**
 * Bounds of flags that nothing else bounds, far above what anybody trains: past them numbers overflow or memory gives
 * out somewhere on the way, where no flag can be named any more.
 */

/** Side of a picture [pixels]. */
export const side = { min: 1, max: 16_384 } as const;

/** Features, channels or heads. */
export const width = { min: 1, max: 65_536 } as const;

/** Blocks or layers. */
export const depth = { min: 1, max: 1024 } as const;

/** Entries of a codebook, and classes. */
export const vocabulary = { min: 2, max: 1_048_576 } as const;

/** Epochs of a run. */
export const epochs = { min: 1, max: 1_000_000 } as const;

/** Temperature of a softmax: logits divided by less are no longer apart in f32. */
export const temperature = { min: 1e-4, max: 1e4 } as const;
