import { describe, expect, it } from 'vitest';
import { Draws } from '../../lib/data/random.js';
import { UserError } from '../../lib/errors.js';
import { native } from '../../lib/native/addon.js';
import { knnAccuracies, type LabelledFeatures } from '../../lib/training/knn.js';

/** Clusters that overlap: a point is its class's centre and noise. */
function clusters(count: number, seed: number, classes: number, width: number): LabelledFeatures {
  const centres = new Draws(1, 1, 0, 0);
  const centre = Array.from({ length: classes * width }, () => centres.between(-1, 1));
  const noise = new Draws(seed, 2, 0, 0);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const features = Float32Array.from(
    { length: count * width },
    (_, i) =>
      (centre[(labels[Math.floor(i / width)] as number) * width + (i % width)] as number) +
      noise.between(-1.5, 1.5),
  );
  return { features, labels, width };
}

/** The definition, in float64, neighbour by neighbour. */
function plain(train: LabelledFeatures, test: LabelledFeatures, classes: number, k: number, t: number) {
  const row = ({ features, width }: LabelledFeatures, i: number): number[] => {
    const values = [...features.subarray(i * width, (i + 1) * width)];
    const length = Math.hypot(...values);
    return values.map((value) => value / length);
  };
  let [first, five] = [0, 0];
  for (const [i, label] of test.labels.entries()) {
    const query = row(test, i);
    const near = [...train.labels.keys()]
      .map((j) => ({ j, cosine: row(train, j).reduce((sum, x, d) => sum + x * query[d]!, 0) }))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, k);
    const votes = new Array<number>(classes).fill(0);
    for (const { j, cosine } of near) votes[train.labels[j]!]! += Math.exp(cosine / t);
    const order = [...votes.keys()].sort((a, b) => votes[b]! - votes[a]! || a - b);
    first += order[0] === label ? 1 : 0;
    five += order.slice(0, 5).includes(label) ? 1 : 0;
  }
  return { k, acc1: (100 * first) / test.labels.length, acc5: (100 * five) / test.labels.length };
}

describe('k nearest neighbours', () => {
  const [classes, width] = [9, 12];
  const train = clusters(150, 5, classes, width);
  const test = clusters(90, 6, classes, width);

  it('vote as the definition says, for each k', () => {
    const before = native.memoryStatistics().liveTensors;
    const found = knnAccuracies({ train, test, classes, neighbours: [20, 1, 10], temperature: 0.07 });
    expect(found).toEqual([1, 10, 20].map((k) => plain(train, test, classes, k, 0.07)));
    expect(found[1]!.acc1).toBeGreaterThan(30);
    expect(found[1]!.acc1).toBeLessThan(95);
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('are cut to the training pictures, and each number of them is told once', () => {
    const neighbours = [10, 100, 200, 500];
    const found = knnAccuracies({ train, test, classes, neighbours, temperature: 0.07 });
    expect(found.map(({ k }) => k)).toEqual([10, 100, 150]);
  });

  it('of a training set find themselves', () => {
    const found = knnAccuracies({ train, test: train, classes, neighbours: [1], temperature: 1e-4 });
    expect(found).toEqual([{ k: 1, acc1: 100, acc5: expect.any(Number) }]);
  });

  const replaced = <A extends Float32Array | Int32Array>(values: A, value: number): A => {
    const copy = values.slice() as A;
    copy[17] = value;
    return copy;
  };
  it.each([
    [{ temperature: 0 }, /temperature 0: give a number above 0/],
    [{ temperature: Number.NaN }, /temperature NaN/],
    [{ neighbours: [10, 0] }, /0 neighbours: give whole numbers of at least 1/],
    [{ neighbours: [-1] }, /-1 neighbours/],
    [{ neighbours: [1.5] }, /1.5 neighbours/],
    [{ classes: 8 }, /training label 8 is none of the 8 classes/],
    [{ classes: 0 }, /0 classes/],
    [
      { train: { ...train, features: replaced(train.features, Number.NaN) } },
      /training picture 1 are not finite/,
    ],
    [{ test: { ...test, features: replaced(test.features, Number.NaN) } }, /test picture 1 are not finite/],
    [{ test: { ...test, labels: replaced(test.labels, -1) } }, /test label -1 is none of the 9 classes/],
    [{ test: clusters(90, 6, classes, 6) }, /training features are 12 wide and test features 6/],
    [{ test: { ...test, width: 11 } }, /1080 test features are not 11 for each of 90 labels/],
    [{ train: clusters(0, 5, classes, width) }, /there are no training pictures/],
    [{ test: clusters(0, 5, classes, width) }, /there are no test pictures/],
  ])('refuse what makes no accuracy (%#)', (wrong, message) => {
    const options = { train, test, classes, neighbours: [10], temperature: 0.07 };
    expect(() => knnAccuracies({ ...options, ...wrong })).toThrow(UserError);
    expect(() => knnAccuracies({ ...options, ...wrong })).toThrow(message);
  });
});
