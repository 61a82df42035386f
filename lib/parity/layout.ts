import type { Computed } from './types.js';

type Rank4 = readonly [number, number, number, number];

/** [B, C, H, W] as [B, H, W, C]. */
export function toChannelsLast(data: Float32Array, [b, c, h, w]: Rank4): Float32Array {
  return permute(data, [b, c, h * w]);
}

/** [B, H, W, C] as [B, C, H, W]. */
export function toChannelsFirst(data: ArrayLike<number>, [b, h, w, c]: Rank4): Computed {
  return { data: permute(Float32Array.from(data), [b, h * w, c]), shape: [b, c, h, w] };
}

/** Swaps the last two of three axes. */
function permute(data: Float32Array, [b, rows, columns]: readonly [number, number, number]): Float32Array {
  const out = new Float32Array(data.length);
  for (let i = 0; i < b; i++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        out[(i * columns + c) * rows + r] = data[(i * rows + r) * columns + c]!;
      }
    }
  }
  return out;
}
