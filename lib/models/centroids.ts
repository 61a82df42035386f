/** Rows of a table, one after another. */
export interface Rows {
  readonly data: ArrayLike<number>;
  /** Values a row, C. */
  readonly width: number;
}

/** Rows chosen to stand for all. */
export interface Centroids {
  /** Indices of the chosen rows. */
  readonly chosen: Int32Array;
  /** Mean squared distance of a row to the nearest chosen one. */
  readonly spread: number;
}

/**
 * Chooses rows far from one another: the seeding of k-means++ (Arthur and Vassilvitskii, 2007), each with the
 * probability of its squared distance to those before it. Where all rows are chosen some are chosen again.
 * @param draws numbers in [0, 1), one for each row to choose
 */
export function spreadRows({ data, width }: Rows, draws: ArrayLike<number>): Centroids {
  const rows = data.length / width;
  const chosen = new Int32Array(draws.length);
  const distances = new Float64Array(rows).fill(Number.POSITIVE_INFINITY);
  let total = 0;
  for (let k = 0; k < chosen.length; k++) {
    const draw = draws[k] as number;
    let pick = Math.min(rows - 1, Math.floor(draw * rows));
    if (k > 0 && total > 0) {
      let left = draw * total;
      for (pick = 0; pick < rows - 1; pick++) {
        left -= distances[pick] as number;
        if (left < 0) break;
      }
    }
    chosen[k] = pick;
    total = 0;
    for (let row = 0; row < rows; row++) {
      let squares = 0;
      for (let c = 0; c < width; c++) {
        const difference = (data[row * width + c] as number) - (data[pick * width + c] as number);
        squares += difference * difference;
      }
      const nearest = Math.min(distances[row] as number, squares);
      distances[row] = nearest;
      total += nearest;
    }
  }
  return { chosen, spread: total / rows };
}

/** Mean of each column. */
export function columnMeans({ data, width }: Rows): Float64Array {
  const means = new Float64Array(width);
  const rows = data.length / width;
  for (let i = 0; i < data.length; i++) means[i % width]! += (data[i] as number) / rows;
  return means;
}
