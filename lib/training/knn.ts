import { native } from '../native/addon.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { checkKnn } from './knn-checks.js';

/** Features of labelled pictures. */
export interface LabelledFeatures {
  /** [N, width] */
  readonly features: Float32Array;
  /** [N] */
  readonly labels: Int32Array;
  readonly width: number;
}

export interface KnnOptions {
  readonly train: LabelledFeatures;
  readonly test: LabelledFeatures;
  readonly classes: number;
  /** How many neighbours vote; a number past the training pictures is cut to them. */
  readonly neighbours: readonly number[];
  /** Of the votes' weights, exp(cosine/temperature). */
  readonly temperature: number;
}

/** Accuracy [%] with k neighbours. */
export interface KnnAccuracy {
  readonly k: number;
  readonly acc1: number;
  readonly acc5: number;
}

/** Similarities computed at once: test rows, and training rows. */
const testChunk = 256;
const trainChunk = 8192;

/**
 * Weighted k-nearest-neighbour classification by cosine similarity, as DINO does it (Caron et al., 2021, appendix F;
 * Wu et al., 2018): each of the k nearest training pictures votes for its class with weight exp(cosine/temperature).
 * @returns one result for each distinct k, ascending
 * @throws UserError for no pictures, features that are not finite or not [N, width], differing widths, labels that are
 *   no class, numbers of neighbours that are not whole and 1 or more, a temperature that is not above 0
 */
export function knnAccuracies(options: KnnOptions): KnnAccuracy[] {
  checkKnn(options);
  const { train, test, classes, temperature } = options;
  const ks = [...new Set(options.neighbours.map((k) => Math.min(k, train.labels.length)))].sort(
    (a, b) => a - b,
  );
  const most = ks.at(-1) ?? 0;
  const [unitTrain, unitTest] = [unitRows(train), unitRows(test)];
  const hits = ks.map(() => ({ first: 0, five: 0 }));
  for (let start = 0; start < test.labels.length; start += testChunk) {
    const count = Math.min(testChunk, test.labels.length - start);
    const nearest = Array.from({ length: count }, () => new Nearest(most));
    for (let from = 0; from < train.labels.length; from += trainChunk) {
      const rows = Math.min(trainChunk, train.labels.length - from);
      const similarities = products(
        unitTest.subarray(start * test.width, (start + count) * test.width),
        unitTrain.subarray(from * train.width, (from + rows) * train.width),
        train.width,
      );
      for (const [i, best] of nearest.entries()) {
        for (let j = 0; j < rows; j++) best.offer(similarities[i * rows + j] as number, from + j);
      }
    }
    for (const [i, best] of nearest.entries()) {
      const label = test.labels[start + i] as number;
      for (const [at, before] of best.ranks(ks, train.labels, classes, temperature, label).entries()) {
        const hit = hits[at] as { first: number; five: number };
        hit.first += before < 1 ? 1 : 0;
        hit.five += before < 5 ? 1 : 0;
      }
    }
  }
  const share = (count: number): number => (100 * count) / test.labels.length;
  return ks.map((k, i) => {
    const { first, five } = hits[i] as { first: number; five: number };
    return { k, acc1: share(first), acc5: share(five) };
  });
}

/** Rows scaled to length one; a row of zeros stays. */
function unitRows({ features, width }: LabelledFeatures): Float32Array {
  const units = new Float32Array(features.length);
  for (let start = 0; start < features.length; start += width) {
    let squares = 0;
    for (let i = start; i < start + width; i++) squares += (features[i] as number) ** 2;
    const factor = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    for (let i = start; i < start + width; i++) units[i] = (features[i] as number) * factor;
  }
  return units;
}

/** Dot products of all rows of a with all rows of b. */
function products(a: Float32Array, b: Float32Array, width: number): Float32Array {
  return noGrad(() =>
    scope(() => {
      const left = Tensor.from(a, [a.length / width, width]);
      const right = Tensor.from(b, [b.length / width, width]);
      return new Tensor(native.linear(left.handle, right.handle, null)).dataSync() as Float32Array;
    }),
  );
}

/** The k most similar training pictures of one picture, most similar first; of equal ones the earlier. */
class Nearest {
  readonly #values: number[] = [];
  readonly #ids: number[] = [];

  constructor(private readonly most: number) {}

  offer(value: number, id: number): void {
    const values = this.#values;
    if (values.length === this.most && value <= (values[this.most - 1] as number)) return;
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((values[middle] as number) >= value) low = middle + 1;
      else high = middle;
    }
    values.splice(low, 0, value);
    this.#ids.splice(low, 0, id);
    if (values.length <= this.most) return;
    values.pop();
    this.#ids.pop();
  }

  /** For each k, how many classes have more votes than the label's; a class without votes is beaten by all that have. */
  ranks(
    ks: readonly number[],
    labels: Int32Array,
    classes: number,
    temperature: number,
    label: number,
  ): number[] {
    const votes = new Float64Array(classes);
    // Weights beside the nearest one's: the same order, and no overflow at small temperatures.
    const nearest = this.#values[0] as number;
    let done = 0;
    return ks.map((k) => {
      for (; done < k; done++) {
        const voted = labels[this.#ids[done] as number] as number;
        const weight = Math.exp(((this.#values[done] as number) - nearest) / temperature);
        votes[voted] = (votes[voted] as number) + weight;
      }
      const own = votes[label] as number;
      return votes.reduce(
        (before, vote, c) => before + (vote > own || (vote === own && c < label) ? 1 : 0),
        0,
      );
    });
  }
}
