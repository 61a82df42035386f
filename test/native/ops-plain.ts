/** Plain float64 formulas of the ops, as their papers have them, for comparison; row-major arrays. */

/** erf by its Maclaurin series, or by the continued fraction of erfc where that cancels; to about 1e-15. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 3) {
    let fraction = 0;
    for (let n = 80; n > 0; n--) fraction = n / 2 / (a + fraction);
    return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
  }
  let [sum, term] = [0, x];
  for (let n = 0; n < 100; n++) {
    sum += term / (2 * n + 1);
    term *= (-x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** Hendrycks & Gimpel (2016): z·Φ(z), and its derivative Φ(z) + z·φ(z). */
export function gelu(z: number): { value: number; derivative: number } {
  const cumulative = 0.5 * (1 + erf(z / Math.SQRT2));
  const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
  return { value: z * cumulative, derivative: cumulative + z * density };
}

/** Ba et al. (2016), over rows of `width`, with the gradients of Σ y·dy. */
export function layerNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  dy: ArrayLike<number>,
  eps: number,
): Record<'y' | 'dx' | 'dweight' | 'dbias', Float64Array> {
  const width = weight.length;
  const y = new Float64Array(x.length);
  const dx = new Float64Array(x.length);
  const dweight = new Float64Array(width);
  const dbias = new Float64Array(width);
  for (let at = 0; at < x.length; at += width) {
    const row = Float64Array.from({ length: width }, (_, c) => x[at + c]!);
    const mean = row.reduce((a, b) => a + b, 0) / width;
    const rstd = 1 / Math.sqrt(row.reduce((a, b) => a + (b - mean) ** 2, 0) / width + eps);
    const normal = row.map((v) => (v - mean) * rstd);
    const g = normal.map((_, c) => dy[at + c]! * weight[c]!);
    const meanG = g.reduce((a, b) => a + b, 0) / width;
    const meanGN = g.reduce((a, b, c) => a + b * normal[c]!, 0) / width;
    for (let c = 0; c < width; c++) {
      y[at + c] = normal[c]! * weight[c]! + bias[c]!;
      dx[at + c] = rstd * (g[c]! - meanG - normal[c]! * meanGN);
      dweight[c]! += dy[at + c]! * normal[c]!;
      dbias[c]! += dy[at + c]!;
    }
  }
  return { y, dx, dweight, dbias };
}

export interface AttentionCase {
  batch: number;
  queries: number;
  keys: number;
  heads: number;
  size: number;
  scale: number;
  /** added to the scores, [heads, queries, keys] */
  bias?: ArrayLike<number>;
}

/** Vaswani et al. (2017): softmax(scale·q·kᵀ + bias)·v per head, with the gradients of Σ out·dout. */
export function attention(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  dout: ArrayLike<number>,
  { batch, queries, keys, heads, size, scale, bias }: AttentionCase,
): Record<'out' | 'dq' | 'dk' | 'dv' | 'dbias', Float64Array> {
  const width = heads * size;
  const result = {
    out: new Float64Array(q.length),
    dq: new Float64Array(q.length),
    dk: new Float64Array(k.length),
    dv: new Float64Array(v.length),
    dbias: new Float64Array(heads * queries * keys),
  };
  const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number): number => {
    let sum = 0;
    for (let c = 0; c < size; c++) sum += a[i + c]! * b[j + c]!;
    return sum;
  };
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const key = (j: number): number => (b * keys + j) * width + head * size;
      for (let i = 0; i < queries; i++) {
        const at = (b * queries + i) * width + head * size;
        const pair = (head * queries + i) * keys;
        const scores = Array.from(
          { length: keys },
          (_, j) => scale * dot(q, at, k, key(j)) + (bias?.[pair + j] ?? 0),
        );
        const top = scores.reduce((a, s) => Math.max(a, s), Number.NEGATIVE_INFINITY);
        const weights = scores.map((s) => Math.exp(s - top));
        const total = weights.reduce((a, w) => a + w, 0);
        const p = weights.map((w) => w / total);
        const dp = p.map((_, j) => dot(dout, at, v, key(j)));
        const mean = p.reduce((a, w, j) => a + w * dp[j]!, 0);
        for (let j = 0; j < keys; j++) {
          const ds = scale * p[j]! * (dp[j]! - mean);
          result.dbias[pair + j]! += p[j]! * (dp[j]! - mean);
          for (let c = 0; c < size; c++) {
            result.out[at + c]! += p[j]! * v[key(j) + c]!;
            result.dv[key(j) + c]! += p[j]! * dout[at + c]!;
            result.dq[at + c]! += ds * k[key(j) + c]!;
            result.dk[key(j) + c]! += ds * q[at + c]!;
          }
        }
      }
    }
  }
  return result;
}

/** Mean of −log softmax at the labels, the share of right rows, and the gradient. */
export function crossEntropy(
  logits: ArrayLike<number>,
  labels: ArrayLike<number>,
): { loss: number; accuracy: number; grad: Float64Array } {
  const rows = labels.length;
  const classes = logits.length / rows;
  const grad = new Float64Array(logits.length);
  let [loss, right] = [0, 0];
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: classes }, (_, c) => logits[r * classes + c]!);
    const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const total = row.reduce((a, b) => a + Math.exp(b - top), 0);
    const label = labels[r]!;
    loss += Math.log(total) + top - row[label]!;
    if (row.indexOf(top) === label) right += 1;
    for (let c = 0; c < classes; c++) {
      grad[r * classes + c] = (Math.exp(row[c]! - top) / total - (c === label ? 1 : 0)) / rows;
    }
  }
  return { loss: loss / rows, accuracy: right / rows, grad };
}

/** y = x·weightᵀ + bias over rows, with the gradients of Σ y·dy. */
export function linear(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  dy: ArrayLike<number>,
): Record<'y' | 'dx' | 'dweight' | 'dbias', Float64Array> {
  const outs = bias.length;
  const ins = weight.length / outs;
  const y = new Float64Array(dy.length);
  const dx = new Float64Array(x.length);
  const dweight = new Float64Array(weight.length);
  const dbias = new Float64Array(outs);
  for (let r = 0; r * ins < x.length; r++) {
    for (let o = 0; o < outs; o++) {
      const d = dy[r * outs + o]!;
      let sum = bias[o]!;
      for (let i = 0; i < ins; i++) {
        sum += x[r * ins + i]! * weight[o * ins + i]!;
        dx[r * ins + i]! += d * weight[o * ins + i]!;
        dweight[o * ins + i]! += d * x[r * ins + i]!;
      }
      y[r * outs + o] = sum;
      dbias[o]! += d;
    }
  }
  return { y, dx, dweight, dbias };
}

/** y = x + keep[b]·gamma·branch over [B, T, C], with the gradients of Σ y·dy. */
export function residual(
  x: ArrayLike<number>,
  branch: ArrayLike<number>,
  gamma: ArrayLike<number>,
  keep: ArrayLike<number>,
  dy: ArrayLike<number>,
): Record<'y' | 'dbranch' | 'dgamma', Float64Array> {
  const width = gamma.length;
  const sample = x.length / keep.length;
  const dgamma = new Float64Array(width);
  const factor = (i: number): number => keep[Math.floor(i / sample)]! * gamma[i % width]!;
  for (let i = 0; i < x.length; i++) {
    dgamma[i % width]! += keep[Math.floor(i / sample)]! * dy[i]! * branch[i]!;
  }
  return {
    y: Float64Array.from({ length: x.length }, (_, i) => x[i]! + factor(i) * branch[i]!),
    dbranch: Float64Array.from({ length: x.length }, (_, i) => factor(i) * dy[i]!),
    dgamma,
  };
}
