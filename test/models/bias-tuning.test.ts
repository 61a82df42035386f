import { afterAll, describe, expect, it } from 'vitest';
import { createModel } from '../../lib/models/registry.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { patchIds } from '../../lib/training/patch-ids.js';
import { randomNumbers, relativeError } from '../tensor/numbers.js';

describe('a model of which only the biases, or all but them, are trained', () => {
  const model = createModel('cae_tiny_patch16_224_8k_vocab', {
    imageSize: 64,
    depth: 2,
    embedDim: 32,
    numHeads: 2,
    decoderEmbedDim: 32,
    decoderNumHeads: 2,
    decoderNumClasses: 16,
  });
  model.initialize(0);
  const named = [...model.namedParameters()];
  const trainable = new Set(named.filter(([, { requiresGrad }]) => requiresGrad).map(([name]) => name));
  const isBias = (name: string): boolean => name.endsWith('bias');
  afterAll(() => model.dispose());

  /** Gradients by name with the given parameters trained. */
  function gradients(dtype: 'f32' | 'bf16', trained: (name: string) => boolean): Map<string, number[]> {
    for (const [name, parameter] of named) parameter.requiresGrad = trainable.has(name) && trained(name);
    const masks = Uint8Array.from({ length: 32 }, (_, i) => (i % 16 < 8 ? 1 : 0));
    const ids = patchIds(masks, 2, 8);
    withTape((tape) =>
      scope(() => {
        const input = {
          images: Tensor.from(Float32Array.from(randomNumbers(2 * 3 * 64 * 64, 1)), [2, 3, 64, 64]),
          visible: Tensor.from(ids.visible, [2, 8]),
          masked: Tensor.from(ids.masked, [2, 8]),
          labels: Tensor.from(
            Int32Array.from({ length: 16 }, (_, i) => i),
            [16],
          ),
        };
        tape.backward(model.forward(input, { dtype, dropPath: null }).loss);
      }),
    );
    const found = named.filter(([, { hasGrad }]) => hasGrad);
    const result = new Map(found.map(([name, { grad }]) => [name, [...grad!.dataSync()]]));
    model.clearGrads();
    return result;
  }

  it.each([
    ['f32', 1e-5],
    ['bf16', 0.05],
  ] as const)('gets their gradients and no others, %s', (dtype, tolerance) => {
    const all = gradients(dtype, () => true);
    for (const trained of [isBias, (name: string) => !isBias(name)]) {
      const got = gradients(dtype, trained);
      expect([...got.keys()]).toEqual([...all.keys()].filter(trained));
      for (const [name, gradient] of got) {
        expect(relativeError(gradient, all.get(name)!), name).toBeLessThan(tolerance);
      }
    }
  });
});
