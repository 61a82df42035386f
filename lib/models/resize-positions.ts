/**
 * Position tables of a model whose pictures change size. Sine-cosine positions are computed anew; a relative position
 * bias is learnt, and interpolated as BEiT does it (arXiv:2106.08254): near offsets keep their places on a geometric
 * sequence that stretches over the new grid, with cubic splines between.
 */

/** Rows of a bias table that belong to the cls token, last in it. */
const extraRows = 3;

/** Offsets along a side, −(n−1)…n−1, of a table for square grids. @throws RangeError for another length */
export function tableSide(rows: number): number {
  const side = Math.sqrt(rows - extraRows);
  if (!Number.isInteger(side) || side % 2 === 0) {
    throw new RangeError(`${rows} rows are no relative position bias of a square grid`);
  }
  return side;
}

/**
 * A relative position bias table for another grid.
 * @param table [(2s−1)² + 3, heads], row-major, of a square grid of s patches a side
 * @param rows of the wanted table, (2t−1)² + 3
 * @returns [rows, heads]; the cls token's rows are kept
 * @throws RangeError for a number of rows that no square grid has
 */
export function resizeBiasTable(table: ArrayLike<number>, heads: number, rows: number): Float32Array {
  const from = tableSide(table.length / heads);
  const to = tableSide(rows);
  const out = new Float32Array(rows * heads);
  const matrix = splineMatrix(geometricOffsets(from, to), centred(to));
  for (let h = 0; h < heads; h++) {
    const plane = Float64Array.from({ length: from * from }, (_, i) => table[i * heads + h] as number);
    const resized = multiply(matrix, multiply(matrix, plane, from), to);
    for (let i = 0; i < to * to; i++) out[i * heads + h] = resized[i] as number;
  }
  for (let i = 0; i < extraRows * heads; i++) {
    out[to * to * heads + i] = table[from * from * heads + i] as number;
  }
  return out;
}

/** −t…t for a side of 2t+1. */
function centred(side: number): Float64Array {
  return Float64Array.from({ length: side }, (_, i) => i - (side - 1) / 2);
}

/**
 * Where the old offsets lie among the new: 0, ±1, ±(1+q), ±(1+q+q²), … with the ratio q, found by bisection between
 * 1.01 and 1.5, that makes the last one reach the new table's edge.
 */
export function geometricOffsets(from: number, to: number): Float64Array {
  const count = (from - 1) / 2;
  const reach = (to - 1) / 2;
  let [left, right] = [1.01, 1.5];
  let ratio = left;
  while (right - left > 1e-6) {
    ratio = (left + right) / 2;
    if ((1 - ratio ** count) / (1 - ratio) > reach) right = ratio;
    else left = ratio;
  }
  const offsets = new Float64Array(from);
  let distance = 0;
  for (let i = 0; i < count; i++) {
    distance += ratio ** i;
    offsets[count + 1 + i] = distance;
    offsets[count - 1 - i] = -distance;
  }
  return offsets;
}

/**
 * Interpolation as a matrix: what each value at the knots contributes at each point, by cubic splines of the
 * not-a-knot kind (their first two and last two pieces are one polynomial each); through three knots a parabola,
 * through one a constant. Points beyond the knots are moved to the nearest.
 * @returns [points, knots], a row a point
 */
function splineMatrix(knots: Float64Array, points: Float64Array): Float64Array[] {
  const columns = Array.from(knots, (_, j) => {
    const unit = new Float64Array(knots.length);
    unit[j] = 1;
    return interpolate(knots, unit, points);
  });
  return Array.from(points, (_, p) => Float64Array.from(columns, (column) => column[p] as number));
}

/** The spline through (x, y) at the points. */
function interpolate(x: Float64Array, y: Float64Array, points: Float64Array): Float64Array {
  const n = x.length;
  if (n < 4) return points.map((p) => lagrange(x, y, clamp(p, x)));
  const curvature = curvatures(x, y);
  return points.map((point) => {
    const p = clamp(point, x);
    let k = 0;
    while (k < n - 2 && p > (x[k + 1] as number)) k++;
    const [x0, x1] = [x[k] as number, x[k + 1] as number];
    const h = x1 - x0;
    const [a, b] = [(x1 - p) / h, (p - x0) / h];
    const bend = (a ** 3 - a) * (curvature[k] as number) + (b ** 3 - b) * (curvature[k + 1] as number);
    return a * (y[k] as number) + b * (y[k + 1] as number) + (bend * h * h) / 6;
  });
}

function clamp(p: number, x: Float64Array): number {
  return Math.min(Math.max(p, x[0] as number), x[x.length - 1] as number);
}

function lagrange(x: Float64Array, y: Float64Array, p: number): number {
  return y.reduce((sum, value, i) => {
    const weight = x.reduce((w, xj, j) => (j === i ? w : (w * (p - xj)) / ((x[i] as number) - xj)), 1);
    return sum + value * weight;
  }, 0);
}

/** Second derivatives of the not-a-knot spline at its knots, of which there are at least four. */
function curvatures(x: Float64Array, y: Float64Array): Float64Array {
  const n = x.length;
  const h = Float64Array.from({ length: n - 1 }, (_, i) => (x[i + 1] as number) - (x[i] as number));
  const rows = Array.from({ length: n }, () => new Float64Array(n + 1));
  const at = (i: number): number => h[i] as number;
  const slope = (i: number): number => ((y[i + 1] as number) - (y[i] as number)) / at(i);
  for (let i = 1; i < n - 1; i++) {
    const row = rows[i] as Float64Array;
    row[i - 1] = at(i - 1);
    row[i] = 2 * (at(i - 1) + at(i));
    row[i + 1] = at(i);
    row[n] = 6 * (slope(i) - slope(i - 1));
  }
  // The third derivative is the same on both sides of the second knot, and of the last but one.
  (rows[0] as Float64Array).set([at(1), -(at(0) + at(1)), at(0)]);
  (rows[n - 1] as Float64Array).set([at(n - 2), -(at(n - 3) + at(n - 2)), at(n - 3)], n - 3);
  return solve(rows);
}

/** Solves the linear equations of the rows [A | b] by elimination with row exchange. */
function solve(rows: Float64Array[]): Float64Array {
  const n = rows.length;
  const get = (i: number, j: number): number => (rows[i] as Float64Array)[j] as number;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(get(i, k)) > Math.abs(get(pivot, k))) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot] as Float64Array, rows[k] as Float64Array];
    for (let i = k + 1; i < n; i++) {
      const factor = get(i, k) / get(k, k);
      if (factor === 0) continue;
      for (let j = k; j <= n; j++) (rows[i] as Float64Array)[j] = get(i, j) - factor * get(k, j);
    }
  }
  const solution = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let sum = get(i, n);
    for (let j = i + 1; j < n; j++) sum -= get(i, j) * (solution[j] as number);
    solution[i] = sum / get(i, i);
  }
  return solution;
}

/**
 * The transpose of matrix·plane: applied twice it interpolates along both axes.
 * @param plane [knots, columns]
 * @returns [columns, points]
 */
function multiply(matrix: readonly Float64Array[], plane: Float64Array, columns: number): Float64Array {
  const points = matrix.length;
  const out = new Float64Array(columns * points);
  for (let p = 0; p < points; p++) {
    const row = matrix[p] as Float64Array;
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let k = 0; k < row.length; k++) sum += (row[k] as number) * (plane[k * columns + c] as number);
      out[c * points + p] = sum;
    }
  }
  return out;
}
