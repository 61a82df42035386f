import { join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../lib/errors.js';
import { AttentiveProbe } from '../../lib/models/attentive-probe.js';
import { CaeEncoder } from '../../lib/models/cae-encoder.js';
import { LinearProbe } from '../../lib/models/linear-probe.js';
import { modelConfig } from '../../lib/models/registry.js';
import { VisionTransformer } from '../../lib/models/vision-transformer.js';
import { classifierConfig } from '../../lib/models/vit-registry.js';
import type { Module, StateEntry } from '../../lib/nn/module.js';
import { writeOnnx } from '../../lib/onnx/graph.js';
import { type VitExport, vitToOnnx } from '../../lib/onnx/vision-transformer.js';
import { scope } from '../../lib/tensor/scope.js';
import { noGrad } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { temporaryFolder } from '../checkpoint/support.js';
import { relativeError } from '../tensor/numbers.js';

const sizes = { imageSize: 32, patchSize: 8, embedDim: 48, depth: 3, numHeads: 4 };
const side = 32;
const models: Module[] = [];
afterAll(() => {
  for (const model of models) model.dispose();
});

/** Numbers that no zero bias or unit gain hides: a function of their place. */
function values(count: number, seed: number, spread = 1): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => spread * Math.sin(1.7 * seed + 0.37 * i + (i % 11)));
}

/** Moves every parameter off its initial value, and gives the state as a checkpoint holds it. */
function entriesOf(model: Module): Map<string, StateEntry> {
  models.push(model);
  let seed = 0;
  for (const [name, parameter] of model.namedParameters()) {
    seed++;
    if (name.endsWith('num_batches_tracked')) continue;
    const spread = parameter.shape.length > 1 ? 0.12 : 0.3;
    const lift = /norm|gamma|running_var/.test(name) && !name.endsWith('bias') ? 1 : 0;
    parameter.assign(values(parameter.size, seed, spread).map((value) => value + lift));
  }
  return new Map(
    [...model.stateDict()].map(([name, tensor]) => [name, { shape: tensor.shape, data: tensor.dataSync() }]),
  );
}

function encoder(imageSize = side): CaeEncoder {
  return new CaeEncoder(modelConfig('cae_tiny_patch16_224_8k_vocab', { ...sizes, imageSize }), 0);
}

async function runOnnx(options: Omit<VitExport, 'source' | 'heads'>, batch: number, pixels = side) {
  const path = join(temporaryFolder(), 'model.onnx');
  await writeOnnx(path, vitToOnnx({ heads: 4, source: 'x.pth', ...options }));
  const session = await InferenceSession.create(path, { logSeverityLevel: 3 });
  const images = values(batch * 3 * pixels * pixels, 5);
  const fed = new OrtTensor('float32', images, [batch, 3, pixels, pixels]);
  const [name = ''] = session.outputNames;
  const output = (await session.run({ images: fed }))[name] as OrtTensor;
  await session.release();
  return { name, images, data: output.data as Float32Array, shape: output.dims };
}

/** What this runtime computes of the same pictures. */
function compute(images: Float32Array, batch: number, forward: (images: Tensor) => Tensor): Float32Array {
  return noGrad(() =>
    scope(() => {
      const pixels = Math.sqrt(images.length / (3 * batch));
      return Float32Array.from(forward(Tensor.from(images, [batch, 3, pixels, pixels])).dataSync());
    }),
  );
}

const pass = { dtype: 'f32', dropPath: null } as const;

function tokensOf(model: CaeEncoder, batch: number, patches: number) {
  return (images: Tensor): Tensor => {
    const ids = Int32Array.from({ length: batch * patches }, (_, i) => i % patches);
    return model.forward(images, Tensor.from(ids, [batch, patches]), pass);
  };
}

describe('an encoder in onnxruntime', () => {
  it.each([1, 3])('gives this runtime’s tokens, cls and mean, batch %i', async (batch) => {
    const model = encoder();
    const entries = entriesOf(model);
    const whole = await runOnnx({ entries, imageSize: side, features: 'tokens' }, batch);
    expect([whole.name, whole.shape]).toEqual(['features', [batch, 17, 48]]);
    const tokens = compute(whole.images, batch, tokensOf(model, batch, 16));
    expect(relativeError(whole.data, tokens)).toBeLessThan(1e-5);
    const cls = await runOnnx({ entries, imageSize: side, features: 'cls' }, batch);
    const mean = await runOnnx({ entries, imageSize: side, features: 'mean' }, batch);
    expect([cls.shape, mean.shape]).toEqual([
      [batch, 48],
      [batch, 48],
    ]);
    for (let b = 0; b < batch; b++) {
      const own = tokens.subarray(b * 17 * 48, (b + 1) * 17 * 48);
      expect(relativeError(cls.data.subarray(b * 48, b * 48 + 48), own.subarray(0, 48))).toBeLessThan(1e-5);
      const average = Float32Array.from({ length: 48 }, (_, c) => {
        let sum = 0;
        for (let t = 1; t < 17; t++) sum += own[t * 48 + c] as number;
        return sum / 16;
      });
      expect(relativeError(mean.data.subarray(b * 48, b * 48 + 48), average)).toBeLessThan(1e-5);
    }
  });

  it('of another picture size has that size’s positions', async () => {
    const entries = entriesOf(encoder());
    const larger = encoder(48);
    entriesOf(larger);
    const out = await runOnnx({ entries, imageSize: 48, features: 'tokens' }, 2, 48);
    expect(relativeError(out.data, compute(out.images, 2, tokensOf(larger, 2, 36)))).toBeLessThan(1e-5);
  });

  it('without layer scale', async () => {
    const config = modelConfig('cae_tiny_patch16_224_8k_vocab', { ...sizes, layerScaleInitValue: 0 });
    const model = new CaeEncoder(config, 0);
    const out = await runOnnx({ entries: entriesOf(model), imageSize: side, features: 'tokens' }, 2);
    expect(relativeError(out.data, compute(out.images, 2, tokensOf(model, 2, 16)))).toBeLessThan(1e-5);
  });
});

describe('a classifier in onnxruntime', () => {
  it.each([
    ['relative position bias, mean pooling', {}],
    ['a shared bias, no positions', { relPosBias: false, sharedRelPosBias: true, sinPosEmb: false }],
    ['both biases', { sharedRelPosBias: true }],
    ['the cls token', { useMeanPooling: false, relPosBias: false }],
  ])('fine-tuned: %s', async (_, changes) => {
    const config = classifierConfig('cae_tiny_patch16_224', { ...sizes, numClasses: 7, ...changes });
    const model = new VisionTransformer(config);
    const out = await runOnnx({ entries: entriesOf(model), imageSize: side, features: 'classifier' }, 3);
    expect([out.name, out.shape]).toEqual(['logits', [3, 7]]);
    const own = compute(out.images, 3, (images) => model.forward(images, pass, false));
    expect(relativeError(out.data, own)).toBeLessThan(1e-5);
  });

  it.each([false, true])('linear probe, mean pooling %s', async (meanPooling) => {
    const changes = { relPosBias: false, useMeanPooling: meanPooling };
    const config = classifierConfig('cae_tiny_patch16_224', { ...sizes, numClasses: 7, ...changes });
    const model = new LinearProbe(config);
    const entries = entriesOf(model);
    const out = await runOnnx({ entries, imageSize: side, features: 'classifier', meanPooling }, 2);
    const own = compute(out.images, 2, (images) => model.forward(images, pass, false));
    expect(relativeError(out.data, own)).toBeLessThan(1e-5);
  });
});

describe('an attentive probe in onnxruntime', () => {
  const changes = { ...sizes, numClasses: 7, relPosBias: false };
  it.each([1, 3])('gives this runtime’s logits, batch %i', async (batch) => {
    const model = new AttentiveProbe(classifierConfig('cae_tiny_patch16_224', changes));
    const out = await runOnnx({ entries: entriesOf(model), imageSize: side, features: 'classifier' }, batch);
    expect([out.name, out.shape]).toEqual(['logits', [batch, 7]]);
    const own = compute(out.images, batch, (images) => model.forward(images, pass, false));
    expect(relativeError(out.data, own)).toBeLessThan(1e-5);
  });

  it('has its encoder’s features, too', async () => {
    const model = new AttentiveProbe(classifierConfig('cae_tiny_patch16_224', changes));
    const out = await runOnnx({ entries: entriesOf(model), imageSize: side, features: 'tokens' }, 2);
    const own = compute(out.images, 2, (images) => model.features(images, pass));
    expect(relativeError(out.data, own)).toBeLessThan(1e-5);
  });
});

describe('what cannot be exported', () => {
  const refused = (changes: Partial<VitExport>, drop: readonly string[] = []): string => {
    const entries = entriesOf(encoder());
    for (const name of drop) entries.delete(name);
    const base = { entries, imageSize: side, heads: 4, features: 'cls', source: 'x.pth' } as const;
    try {
      vitToOnnx({ ...base, ...changes });
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as Error).message;
    }
    return '';
  };

  it('is refused in words', () => {
    expect(refused({ features: 'classifier' })).toMatch(/x\.pth has no head/);
    expect(refused({ imageSize: 33 })).toMatch(/--input_size 33 does not divide/);
    expect(refused({ heads: 5 })).toMatch(/--num_heads 5 must divide/);
    expect(refused({}, ['norm.weight'])).toMatch(/has no norm over its tokens/);
  });

  it('other heads than its bias tables, and pictures of too many patches, are refused in words', () => {
    const model = new VisionTransformer(
      classifierConfig('cae_tiny_patch16_224', { ...sizes, numClasses: 7 }),
    );
    const entries = entriesOf(model);
    expect(refused({ entries, heads: 2 })).toBe(
      '--num_heads 2: its bias tables have 4 heads; give that number',
    );
    expect(refused({ entries, imageSize: 64_000 })).toMatch(/--input_size 64000: its tables .* GiB/);
    expect(refused({ imageSize: 64_000 })).toMatch(/are 11\.4 GiB, and an ONNX file ends at 2/);
  });

  it('learnt positions stay on their grid', () => {
    const entries = entriesOf(encoder());
    const { shape, data } = entries.get('pos_embed')!;
    entries.set('pos_embed', { shape, data: Float32Array.from(data, (value) => value + 0.1) });
    expect(refused({ entries })).toBe('');
    expect(refused({ entries, imageSize: 48 })).toMatch(/pos_embed is no sine-cosine table/);
  });

  it('a model past 2 GiB is refused before anything is written', () => {
    const entries = entriesOf(encoder());
    // Memory that is never touched, so that the test takes none.
    const huge = new Float32Array(2 ** 29 + 48);
    entries.set('norm.weight', { shape: [huge.length], data: huge });
    const options = { entries, imageSize: side, heads: 4, features: 'cls', source: 'x.pth' } as const;
    expect(() => vitToOnnx(options)).toThrow(/an ONNX file holds at most 2147483647/);
  });
});
