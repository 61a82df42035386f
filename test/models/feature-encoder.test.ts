import { afterAll, expect, it } from 'vitest';
import { UserError } from '../../lib/errors.js';
import { encoderFeatures, FeatureEncoder, type Pool } from '../../lib/models/feature-encoder.js';
import { classifierConfig } from '../../lib/models/vit-registry.js';
import { scope } from '../../lib/tensor/scope.js';
import { randomNumbers, tensorOf } from '../tensor/numbers.js';

const sizes = { imageSize: 32, depth: 2, embedDim: 24, numHeads: 2 };
const encoder = new FeatureEncoder(classifierConfig('cae_tiny_patch16_224', sizes));
encoder.initialize(0);
afterAll(() => encoder.dispose());

/** The shape of the features of two pictures. */
const shapeOf = (pool: Pool, layer?: number): readonly number[] =>
  scope(() => {
    const images = tensorOf(randomNumbers(2 * 3 * 32 * 32, 9), [2, 3, 32, 32]);
    return encoderFeatures(encoder, images, { dtype: 'f32', dropPath: null }, pool, layer).shape;
  });

it('features have the shape of their pool, behind any block', () => {
  for (const layer of [undefined, 0, 1, 2]) {
    expect(shapeOf('cls', layer)).toEqual([2, 24]);
    expect(shapeOf('mean', layer)).toEqual([2, 24]);
    expect(shapeOf('tokens', layer)).toEqual([2, 5, 24]);
  }
});

it.each([9, -1, 0.5, Number.NaN])('layer %s is refused', (layer) => {
  expect(() => shapeOf('cls', layer)).toThrow(UserError);
  expect(() => shapeOf('cls', layer)).toThrow(`layer ${layer}: the encoder has 2 blocks; give 0 to 2`);
});

it('an unknown pool is refused', () => {
  expect(() => shapeOf('foo' as Pool)).toThrow(/^pool foo is not known; choose cls, mean, tokens$/);
});
