import { positionBias } from '../tensor/ops/position-bias.js';
import type { Parameter } from '../tensor/parameter.js';
import { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** Rows of a table for a grid: one for each offset between patches, then cls→patch, patch→cls and cls→cls. */
export function relativePositions(gridHeight: number, gridWidth: number): number {
  return (2 * gridHeight - 1) * (2 * gridWidth - 1) + 3;
}

/**
 * Which row of the table a pair of tokens reads: for patches (r, c) and (r', c') the row of their offset
 * (r − r', c − c'), counted from the most negative; the last three rows belong to the cls token (BEiT,
 * arXiv:2106.08254).
 * @returns i32 [T, T] in raster order, T = 1 + gridHeight·gridWidth
 */
export function relativePositionIndex(gridHeight: number, gridWidth: number): Int32Array {
  const tokens = 1 + gridHeight * gridWidth;
  const rows = relativePositions(gridHeight, gridWidth);
  const index = new Int32Array(tokens * tokens);
  for (let i = 1; i < tokens; i++) {
    for (let j = 1; j < tokens; j++) {
      const row = Math.floor((i - 1) / gridWidth) - Math.floor((j - 1) / gridWidth) + gridHeight - 1;
      const column = ((i - 1) % gridWidth) - ((j - 1) % gridWidth) + gridWidth - 1;
      index[i * tokens + j] = row * (2 * gridWidth - 1) + column;
    }
    index[i] = rows - 3;
    index[i * tokens] = rows - 2;
  }
  index[0] = rows - 1;
  return index;
}

/** The index as a tensor [T, T]. */
export function relativePositionTensor(gridHeight: number, gridWidth: number): Tensor {
  const tokens = 1 + gridHeight * gridWidth;
  return Tensor.from(relativePositionIndex(gridHeight, gridWidth), [tokens, tokens]);
}

/** A relative position bias that all blocks share. */
export class RelativePositionBias extends Module {
  readonly table: Parameter;
  readonly index: Tensor;

  constructor(gridHeight: number, gridWidth: number, heads: number) {
    super();
    this.table = this.parameter('relative_position_bias_table', [
      relativePositions(gridHeight, gridWidth),
      heads,
    ]);
    this.index = this.buffer('relative_position_index', relativePositionTensor(gridHeight, gridWidth));
  }

  /** [heads, T, T] */
  forward(): Tensor {
    return positionBias(this.table, this.index);
  }
}
