import type { ImageSource } from '../native/image.js';

/** Pictures with classes, in a fixed order. */
export interface ImageSet {
  /** Number of pictures. */
  readonly length: number;
  /** Names of the classes; a label is an index into it. */
  readonly classes: readonly string[];
  /** What to call picture `index`: its file's path, or its place in a larger file. */
  path(index: number): string;
  /** Class of picture `index`. */
  label(index: number): number;
  /** Where its pixels come from. */
  source(index: number): ImageSource;
}
