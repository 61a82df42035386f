import { afterEach, describe, expect, it } from 'vitest';
import { AttentiveProbe } from '../../lib/models/attentive-probe.js';
import type { Classifier } from '../../lib/models/classifier.js';
import { LinearProbe } from '../../lib/models/linear-probe.js';
import { VisionTransformer } from '../../lib/models/vision-transformer.js';
import type { VitConfig } from '../../lib/models/vit-config.js';
import { classifierConfig, classifierNames, probeConfig } from '../../lib/models/vit-registry.js';
import { native } from '../../lib/native/addon.js';
import type { Module } from '../../lib/nn/module.js';
import { crossEntropy } from '../../lib/tensor/ops/loss.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { numbersOf, randomNumbers, relativeError, tensorOf } from '../tensor/numbers.js';

const small: Partial<VitConfig> = { imageSize: 32, depth: 2, embedDim: 24, numHeads: 2, numClasses: 5 };
const name = 'cae_tiny_patch16_224';
const pass = { dtype: 'f32', dropPath: null } as const;

const made: Module[] = [];
function kept<T extends Module>(model: T): T {
  made.push(model);
  return model;
}
function finetuned(overrides: Partial<VitConfig> = {}): VisionTransformer {
  return kept(new VisionTransformer(classifierConfig(name, { ...small, ...overrides })));
}
/** Weights far from their initial values, so that every part of a model shows in its output. */
function shake<T extends Module>(model: T): T {
  let seed = 0;
  for (const parameter of model.namedParameters().values()) {
    seed += 1;
    if (parameter.dtype === 'i32') continue;
    parameter.assign(Float32Array.from(randomNumbers(parameter.size, seed), (v) => 0.4 * v + 0.3));
  }
  return model;
}
const pictures = (batch = 3): Tensor => tensorOf(randomNumbers(batch * 3 * 32 * 32, 9), [batch, 3, 32, 32]);
const logitsOf = (model: Classifier, images: Tensor, training = false): Float32Array | Float64Array =>
  scope(() => numbersOf(model.forward(images, pass, training)));

afterEach(() => {
  for (const model of made.splice(0)) model.dispose();
});

const blockNames = (i: number, table: boolean): string[] =>
  [
    'gamma_1',
    'gamma_2',
    'norm1.weight',
    'norm1.bias',
    'attn.q_bias',
    'attn.v_bias',
    ...(table ? ['attn.relative_position_bias_table', 'attn.relative_position_index'] : []),
    'attn.qkv.weight',
    'attn.proj.weight',
    'attn.proj.bias',
    'norm2.weight',
    'norm2.bias',
    'mlp.fc1.weight',
    'mlp.fc1.bias',
    'mlp.fc2.weight',
    'mlp.fc2.bias',
  ].map((part) => `blocks.${i}.${part}`);
const patchNames = ['patch_embed.proj.weight', 'patch_embed.proj.bias'];

describe('classifiers: names', () => {
  it('of fine-tuning are the reference’s, in its order', () => {
    expect([...finetuned().stateDict().keys()]).toEqual([
      'cls_token',
      'pos_embed',
      ...patchNames,
      ...blockNames(0, true),
      ...blockNames(1, true),
      'fc_norm.weight',
      'fc_norm.bias',
      'head.weight',
      'head.bias',
    ]);
    const other = finetuned({
      sinPosEmb: false,
      relPosBias: false,
      sharedRelPosBias: true,
      useMeanPooling: false,
    });
    expect([...other.stateDict().keys()]).toEqual([
      'cls_token',
      ...patchNames,
      'rel_pos_bias.relative_position_bias_table',
      'rel_pos_bias.relative_position_index',
      ...blockNames(0, false),
      ...blockNames(1, false),
      'norm.weight',
      'norm.bias',
      'head.weight',
      'head.bias',
    ]);
  });

  it('of the probes are the reference’s, and only the head is trained', () => {
    const encoder = [
      ...patchNames,
      ...blockNames(0, false),
      ...blockNames(1, false),
      'norm.weight',
      'norm.bias',
    ];
    const statistics = ['running_mean', 'running_var', 'num_batches_tracked'];
    const linear = kept(new LinearProbe(probeConfig(name, small)));
    expect([...linear.stateDict().keys()]).toEqual([
      'cls_token',
      'pos_embed',
      ...encoder,
      ...statistics.map((s) => `head.0.${s}`),
      'head.1.weight',
      'head.1.bias',
    ]);
    const attentive = kept(new AttentiveProbe(probeConfig(name, small)));
    const block = [
      'norm_q.weight',
      'norm_q.bias',
      'norm_k.weight',
      'norm_k.bias',
      'norm_v.weight',
      'norm_v.bias',
    ];
    const cross = ['q_bias', 'v_bias', 'q.weight', 'k.weight', 'v.weight', 'proj.weight', 'proj.bias'];
    const own = [...block, ...cross.map((c) => `cross_attn.${c}`)].map((n) => `attentive_blocks.0.${n}`);
    expect([...attentive.stateDict().keys()]).toEqual([
      'cls_token',
      'pos_embed',
      'query_token',
      ...encoder,
      ...own,
      ...statistics.map((s) => `fc_norm.${s}`),
      'head.weight',
      'head.bias',
    ]);
    const trained = (model: Module): string[] =>
      [...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([n]) => n);
    expect(trained(linear)).toEqual(['head.1.weight', 'head.1.bias']);
    expect(trained(attentive)).toEqual(['query_token', ...own, 'head.weight', 'head.bias']);
  });

  it('of models are known, shrinkable, and refused with the flag that is wrong', () => {
    expect(classifierNames()).toHaveLength(9);
    expect(classifierConfig('cae_large_patch16_512')).toMatchObject({
      imageSize: 512,
      embedDim: 1024,
      depth: 24,
    });
    expect(probeConfig('cae_base_patch16_384', { depth: 3 })).toMatchObject({
      depth: 3,
      relPosBias: false,
      useMeanPooling: false,
    });
    expect(() => classifierConfig('cae_huge')).toThrow(
      /--model cae_huge is not known; choose one of cae_tiny/,
    );
    expect(() => classifierConfig(name, { imageSize: 225 })).toThrow(/--input_size 225 does not divide/);
    expect(() => classifierConfig(name, { numClasses: 0 })).toThrow(/--nb_classes 0 must be a whole number/);
    expect(() => classifierConfig(name, { numHeads: 5 })).toThrow(
      /--embed_dim 192 must divide by --num_heads 5/,
    );
  });
});

describe('classifiers: initial weights', () => {
  const deviation = (values: ArrayLike<number>): number =>
    Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0) / values.length);

  it('are a function of the seed, with the reference’s deviations', () => {
    const [one, same, other] = [0, 0, 1].map((seed) => {
      const model = finetuned({ embedDim: 96, initScale: 0.001 });
      model.initialize(seed);
      return new Map([...model.namedParameters()].map(([n, p]) => [n, numbersOf(p)]));
    }) as [Map<string, Float32Array>, Map<string, Float32Array>, Map<string, Float32Array>];
    expect(same).toEqual(one);
    expect(other.get('cls_token')).not.toEqual(one.get('cls_token'));
    const wanted: Record<string, number> = {
      'blocks.0.attn.qkv.weight': 0.02,
      'blocks.1.attn.qkv.weight': 0.02,
      'blocks.0.attn.proj.weight': 0.02 / Math.SQRT2,
      'blocks.1.attn.proj.weight': 0.02 / 2,
      'blocks.1.mlp.fc1.weight': 0.02,
      'blocks.1.mlp.fc2.weight': 0.02 / 2,
      'head.weight': 0.02 * 0.001,
      // uniform within 1/√(3·16·16), as torch draws a convolution
      'patch_embed.proj.weight': 1 / Math.sqrt(768 * 3),
    };
    for (const [n, std] of Object.entries(wanted)) {
      const tolerance = 5 / Math.sqrt(one.get(n)!.length);
      expect(Math.abs(deviation(one.get(n)!) / std - 1), n).toBeLessThan(tolerance);
    }
    for (const n of ['head.bias', 'blocks.1.attn.q_bias', 'blocks.0.attn.relative_position_bias_table']) {
      expect(deviation(one.get(n)!), n).toBe(0);
    }
    expect([...one.get('blocks.0.gamma_1')!]).toEqual(new Array(96).fill(Math.fround(0.1)));
    expect([...one.get('fc_norm.weight')!]).toEqual(new Array(96).fill(1));
  });

  it('leave the encoder of a probe and of fine-tuning the same', () => {
    const linear = kept(new LinearProbe(probeConfig(name, small)));
    const attentive = kept(new AttentiveProbe(probeConfig(name, small)));
    const model = finetuned({ relPosBias: false });
    for (const each of [linear, attentive, model]) each.initialize(3);
    const state = model.stateDict();
    for (const each of [linear, attentive]) {
      for (const n of ['cls_token', 'patch_embed.proj.weight', 'blocks.1.mlp.fc2.weight']) {
        expect(numbersOf(each.stateDict().get(n)!), n).toEqual(numbersOf(state.get(n)!));
      }
    }
    expect(numbersOf(attentive.queryToken).every((v) => v === 0)).toBe(true);
    expect(deviation(numbersOf(linear.linear.weight))).toBeCloseTo(0.01, 2);
  });
});

describe('classifiers: forward', () => {
  it('a shared bias is the same bias in every block', () => {
    const own = shake(finetuned());
    const shared = shake(finetuned({ relPosBias: false, sharedRelPosBias: true }));
    const table = shared.relativeBias!.table.dataSync();
    for (const block of own.blocks) block.attn.biasTable!.assign(table);
    for (const [n, parameter] of shared.namedParameters()) {
      own.namedParameters().get(n)?.assign(parameter.dataSync());
    }
    const images = pictures();
    expect(relativeError(logitsOf(own, images), logitsOf(shared, images))).toBeLessThan(1e-6);
    // And it does act: without it the logits are others.
    for (const block of own.blocks) block.attn.biasTable!.assign(new Float32Array(table.length));
    expect(relativeError(logitsOf(own, images), logitsOf(shared, images))).toBeGreaterThan(1e-4);
    images.release();
  });

  it('positions act only where the model has them', () => {
    const images = pictures();
    const [withPositions, without] = [true, false].map((sinPosEmb) =>
      logitsOf(shake(finetuned({ sinPosEmb, relPosBias: false })), images),
    ) as [Float32Array, Float32Array];
    expect(relativeError(withPositions, without)).toBeGreaterThan(1e-3);
    images.release();
  });

  it('in bf16 within 2e-2 of f32', () => {
    const images = pictures();
    for (const model of [
      shake(finetuned()),
      shake(finetuned({ useMeanPooling: false, relPosBias: false })),
    ]) {
      const wanted = logitsOf(model, images);
      const got = scope(() => numbersOf(model.forward(images, { dtype: 'bf16', dropPath: null }, false)));
      expect(relativeError(got, wanted)).toBeLessThan(2e-2);
    }
    images.release();
  });

  it('stochastic depth acts in training alone', () => {
    const model = shake(finetuned({ dropPath: 0.9 }));
    const images = pictures(4);
    const draw = { dtype: 'f32', dropPath: { seed: 1, step: 5 } } as const;
    const run = (training: boolean): Float32Array | Float64Array =>
      scope(() => numbersOf(model.forward(images, draw, training)));
    expect(run(false)).toEqual(logitsOf(model, images));
    expect(relativeError(run(true), run(false))).toBeGreaterThan(1e-3);
    expect(run(true)).toEqual(run(true));
    images.release();
  });

  it('after fewer blocks the tokens are those of a shallower model', () => {
    const model = shake(finetuned());
    const shallow = finetuned({ depth: 1 });
    for (const [n, parameter] of shallow.namedParameters()) {
      parameter.assign(model.namedParameters().get(n)!.dataSync());
    }
    const images = pictures();
    scope(() => {
      const [got, wanted] = [model.tokens(images, pass, 1), shallow.tokens(images, pass)];
      expect(got.shape).toEqual([3, 5, 24]);
      expect(numbersOf(got)).toEqual(numbersOf(wanted));
      expect(numbersOf(model.tokens(images, pass))).not.toEqual(numbersOf(wanted));
    });
    images.release();
  });

  it('refuses pictures of another size', () => {
    const model = finetuned();
    scope(() => {
      const images = Tensor.zeros([1, 3, 32, 48]);
      expect(() => model.forward(images, pass, false)).toThrow(
        /images are \[1,3,32,48\], the model takes \[B, 3, 32, 32\]/,
      );
    });
  });
});

describe('probes', () => {
  it.each([
    ['linear', LinearProbe, {}],
    ['linear of the mean', LinearProbe, { useMeanPooling: true }],
    ['attentive', AttentiveProbe, {}],
  ] as const)('%s: the head over kept features is the whole, and gradients stop at them', (_, Kind, more) => {
    const before = native.memoryStatistics().liveTensors;
    const probe = shake(new Kind(probeConfig(name, { ...small, dropPath: 0.5, ...more })));
    const images = pictures(4);
    const features = probe.features(images, { dtype: 'f32', dropPath: { seed: 1, step: 1 } });
    expect(features.requiresGrad).toBe(false);
    expect(features.shape).toEqual(Kind === LinearProbe ? [4, 24] : [4, 5, 24]);
    const labels = Tensor.from(Int32Array.of(0, 1, 2, 3), [4]);
    scope(() => {
      expect(numbersOf(probe.head(features, pass, false))).toEqual(logitsOf(probe, images));
      withTape((tape) => tape.backward(crossEntropy(probe.forward(images, pass, true), labels).loss));
    });
    for (const [n, { requiresGrad, hasGrad }] of probe.namedParameters()) {
      expect(hasGrad, n).toBe(requiresGrad);
    }
    expect([...probe.batchNorm.batches.dataSync()][0]).toBe(1);
    for (const tensor of [features, labels, images]) tensor.release();
    probe.dispose();
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('the mean of a linear probe is that of its normalised patch tokens', () => {
    const config = probeConfig(name, { ...small, useMeanPooling: true });
    const probe = shake(kept(new LinearProbe(config)));
    const attentive = kept(new AttentiveProbe(config));
    for (const [n, parameter] of attentive.namedParameters()) {
      const same = probe.namedParameters().get(n);
      if (same !== undefined && same.size === parameter.size) parameter.assign(same.dataSync());
    }
    const images = pictures(2);
    scope(() => {
      const tokens = numbersOf(attentive.features(images, pass));
      const wanted = new Float64Array(2 * 24);
      for (let i = 0; i < tokens.length; i++) {
        const [b, t] = [Math.floor(i / (5 * 24)), Math.floor(i / 24) % 5];
        if (t > 0) wanted[b * 24 + (i % 24)]! += tokens[i]! / 4;
      }
      expect(relativeError(numbersOf(probe.features(images, pass)), wanted)).toBeLessThan(1e-6);
    });
    images.release();
  });
});
