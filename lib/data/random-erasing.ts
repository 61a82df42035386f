import { UserError } from '../errors.js';
import { Draws, dataStream } from './random.js';

/** Share of the picture a box takes, divided among a picture's boxes. */
const leastArea = 0.02;
const mostArea = 1 / 3;
/** Height over width, log-uniform between this and its inverse. */
const leastAspect = 0.3;
/** Shapes tried for each box. */
const tries = 10;

export interface RandomErasingOptions {
  readonly seed: number;
  /** Side of the square picture in pixels. */
  readonly size: number;
  /** Probability that a picture loses anything (`--reprob`); 0 is never. */
  readonly reprob: number;
  /** Most boxes a picture (`--recount`); how many is uniform from 1. Default 1. */
  readonly recount?: number | undefined;
}

/** Draws the boxes that random erasing takes from a picture: each a function of (seed, epoch, index). */
export interface RandomErasing {
  /** Boxes kept for each picture, K. */
  readonly boxes: number;
  /** [K, 4]: top, left, height and width of each box; a box that is none is 0, 0, 0, 0. */
  draw(epoch: number, index: number): Int32Array;
}

/**
 * Random erasing (Zhong et al. 2020) as timm does it. Only where is drawn here; what fills the boxes is put there after
 * normalisation, by `eraseBoxes`.
 *
 * @throws UserError for a probability or a count out of range
 */
export function createRandomErasing(options: RandomErasingOptions): RandomErasing {
  const { seed, size, reprob, recount = 1 } = options;
  if (!(reprob >= 0 && reprob <= 1)) throw new UserError(`--reprob ${reprob}: give a probability, 0 to 1`);
  if (!(Number.isInteger(recount) && recount >= 1 && recount <= 64)) {
    throw new UserError(`--recount ${recount}: give a whole number, 1 to 64`);
  }
  const drawBox = (draws: Draws, count: number): readonly number[] | undefined => {
    for (let attempt = 0; attempt < tries; attempt++) {
      const area = (draws.between(leastArea, mostArea) * size * size) / count;
      const aspect = draws.logUniform(leastAspect, 1 / leastAspect);
      const height = Math.round(Math.sqrt(area * aspect));
      const width = Math.round(Math.sqrt(area / aspect));
      if (height >= size || width >= size) continue;
      return [draws.below(size - height + 1), draws.below(size - width + 1), height, width];
    }
    return undefined;
  };
  return {
    boxes: recount,
    draw(epoch, index) {
      const boxes = new Int32Array(4 * recount);
      const draws = new Draws(seed, dataStream.erasing, epoch, index);
      if (draws.uniform() >= reprob) return boxes;
      const count = 1 + draws.below(recount);
      for (let i = 0; i < count; i++) boxes.set(drawBox(draws, count) ?? [], 4 * i);
      return boxes;
    },
  };
}
