import { describe, expect, it } from 'vitest';
import { columnMeans, spreadRows } from '../../lib/models/centroids.js';
import { DiscreteVae } from '../../lib/models/discrete-vae.js';
import { native } from '../../lib/native/addon.js';
import { scope } from '../../lib/tensor/scope.js';
import { noGrad } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';

const draws = (count: number): number[] =>
  Array.from({ length: count }, (_, i) => ((i + 1) * 0.6180339887) % 1);

describe('spreadRows', () => {
  it('takes one row of each of some tight clusters, however large', () => {
    // Sizes 200, 20, 3, 1; two values a row.
    const centres = [
      [0, 0, 200],
      [9, 0, 20],
      [0, 9, 3],
      [-9, -9, 1],
    ] as const;
    const data = centres.flatMap(([x, y, size]) =>
      Array.from({ length: size }, (_, i) => [x + 1e-4 * (i % 7), y - 1e-4 * (i % 5)]).flat(),
    );
    const { chosen, spread } = spreadRows({ data, width: 2 }, draws(4));
    const clusters = [...chosen].map((row) =>
      centres.findIndex(([x, y]) => {
        return Math.hypot(data[2 * row]! - x, data[2 * row + 1]! - y) < 0.1;
      }),
    );
    expect(clusters.sort()).toEqual([0, 1, 2, 3]);
    expect(spread).toBeGreaterThan(0);
    expect(spread).toBeLessThan(1e-6);
  });

  it('takes rows again where there are too few', () => {
    const { chosen, spread } = spreadRows({ data: [1, 2, 3], width: 1 }, draws(8));
    expect(new Set(chosen)).toEqual(new Set([0, 1, 2]));
    expect(spread).toBe(0);
  });

  it('columnMeans are the means of columns', () => {
    expect([...columnMeans({ data: [1, 10, 3, 30], width: 2 })]).toEqual([2, 20]);
  });
});

describe('spreadTokens', () => {
  const config = { numTokens: 32, numLayers: 2, numResnetBlocks: 1, hiddenDim: 16 };

  /** Blobs of colour: places differ, and many look alike. */
  function pictures(): Tensor {
    const side = 32;
    const data = Float32Array.from({ length: 8 * side * side * 3 }, (_, i) => {
      const [c, x, y] = [i % 3, Math.floor(i / 3) % side, Math.floor(i / (3 * side)) % side];
      const b = Math.floor(i / (3 * side * side));
      return Math.sin((x * (1 + (b % 3)) + 2 * c) / 7) * Math.cos((y * (1 + (b % 2)) - c) / 9);
    });
    return Tensor.from(data, [8, side, side, 3]);
  }

  it.each([16, 24])('gives most tokens a place, with codes of unit variance; width %i', (codebookDim) => {
    const before = native.memoryStatistics().liveTensors;
    const model = new DiscreteVae({ ...config, codebookDim });
    model.initialize(3);
    scope(() => {
      const images = pictures();
      const used = (): number => new Set(noGrad(() => model.encode(images)).dataSync()).size;
      const random = used();
      model.spreadTokens(images, 3);
      expect(used()).toBeGreaterThan(0.75 * config.numTokens);
      expect(used()).toBeGreaterThan(random);
      // A place's own token is likely at once, or the noise of the gumbel-softmax would hide it.
      const kl = model.trainingLosses(images, { temperature: 0.5, seed: 3, step: 0 }).lossKl.item();
      expect(kl / 64).toBeGreaterThan(0.5 * Math.log(config.numTokens));
      const codes = [...model.codebook.dataSync()];
      const variance = codes.reduce((sum, value) => sum + value * value, 0) / codes.length;
      expect(variance).toBeGreaterThan(0.5);
      expect(variance).toBeLessThan(2);
    });
    model.dispose();
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('does not depend on the batch: the KL term is of a picture', () => {
    const model = new DiscreteVae({ ...config, codebookDim: 16, klDivLossWeight: 1 });
    model.initialize(3);
    scope(() => {
      const images = pictures();
      const half = new Tensor(native.rows(images.handle, 0, 4));
      const twice = Tensor.from(Float32Array.of(...half.dataSync(), ...half.dataSync()), [
        8,
        ...half.shape.slice(1),
      ]);
      const kl = (x: Tensor): number =>
        noGrad(() => model.trainingLosses(x, { temperature: 0.5, seed: 3, step: 0 })).lossKl.item();
      expect(kl(twice)).toBeCloseTo(kl(half), 5);
    });
    model.dispose();
  });
});
