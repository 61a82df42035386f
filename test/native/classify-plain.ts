/** Plain float64 formulas of the classifiers' ops, for comparison; row-major arrays. */

/** Ioffe & Szegedy (2015) over a batch, without gain and shift, with the gradient of Σ y·dy. */
export function batchNorm(
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  rows: number,
  eps: number,
): Record<'y' | 'dx' | 'mean' | 'unbiased', Float64Array> {
  const width = x.length / rows;
  const column = (of: ArrayLike<number>, c: number): Float64Array =>
    Float64Array.from({ length: rows }, (_, r) => of[r * width + c]!);
  const average = (of: Float64Array): number => of.reduce((a, b) => a + b, 0) / rows;
  const y = new Float64Array(x.length);
  const dx = new Float64Array(x.length);
  const mean = new Float64Array(width);
  const unbiased = new Float64Array(width);
  for (let c = 0; c < width; c++) {
    const values = column(x, c);
    const m = average(values);
    const squares = values.map((v) => (v - m) ** 2);
    const rstd = 1 / Math.sqrt(average(squares) + eps);
    const normal = values.map((v) => (v - m) * rstd);
    const g = column(dy, c);
    const slope = average(g.map((v, r) => v * normal[r]!));
    mean[c] = m;
    unbiased[c] = (average(squares) * rows) / (rows - 1);
    for (let r = 0; r < rows; r++) {
      y[r * width + c] = normal[r]!;
      dx[r * width + c] = rstd * (g[r]! - average(g) - normal[r]! * slope);
    }
  }
  return { y, dx, mean, unbiased };
}

/** Mean over rows of −Σ t·log softmax, and its gradient. */
export function softCrossEntropy(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  rows: number,
): { loss: number; grad: Float64Array } {
  const classes = logits.length / rows;
  const grad = new Float64Array(logits.length);
  let loss = 0;
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: classes }, (_, c) => logits[r * classes + c]!);
    const target = Array.from({ length: classes }, (_, c) => targets[r * classes + c]!);
    const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const total = row.reduce((a, b) => a + Math.exp(b - top), 0);
    const weight = target.reduce((a, b) => a + b, 0);
    for (let c = 0; c < classes; c++) {
      const logarithm = row[c]! - top - Math.log(total);
      loss -= (target[c]! * logarithm) / rows;
      grad[r * classes + c] = (weight * Math.exp(logarithm) - target[c]!) / rows;
    }
  }
  return { loss, grad };
}

/** The soft targets that label smoothing stands for. */
export function smoothTargets(labels: ArrayLike<number>, classes: number, smoothing: number): Float64Array {
  const targets = new Float64Array(labels.length * classes).fill(smoothing / classes);
  for (let r = 0; r < labels.length; r++) targets[r * classes + labels[r]!]! += 1 - smoothing;
  return targets;
}

/** Place of the label when a row is sorted, largest first, equals in their order. */
export function labelRanks(logits: ArrayLike<number>, labels: ArrayLike<number>): number[] {
  const classes = logits.length / labels.length;
  return Array.from(labels, (label, r) => {
    const order = Array.from({ length: classes }, (_, c) => c);
    order.sort((a, b) => logits[r * classes + b]! - logits[r * classes + a]! || a - b);
    return order.indexOf(label);
  });
}
