import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../lib/checkpoint/checkpoint-state.js';
import { writeTensors } from '../../lib/checkpoint/export-checkpoint.js';
import { PickledObject, type PickleValue } from '../../lib/checkpoint/pickle-values.js';
import { describing, runStateKey } from '../../lib/checkpoint/run-description.js';
import { type FileTensor, tensorOfBytes } from '../../lib/checkpoint/stored-tensor.js';
import { openWeights, type Weights } from '../../lib/checkpoint/weights-file.js';
import { UserError } from '../../lib/errors.js';
import { encoderFacts } from '../../lib/models/reference-config.js';
import {
  assumedNormalization,
  classifierOfTensors,
  savedModelOf,
} from '../../lib/models/saved-classifier.js';
import { temporaryFolder } from '../checkpoint/support.js';

function tensor(...shape: number[]): FileTensor {
  return tensorOfBytes('F32', shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
}

/** An encoder 8 wide of one block, as far as shapes tell. */
const encoder = new Map([
  ['cls_token', tensor(1, 1, 8)],
  ['patch_embed.proj.weight', tensor(8, 3, 4, 4)],
  ['blocks.0.mlp.fc1.weight', tensor(32, 8)],
]);

function weightsOf(tree: PickleValue, tensors: ReadonlyMap<string, FileTensor> = encoder): Weights {
  return { format: 'torch', source: 'x.pth', metadata: {}, tree, tensors, [Symbol.dispose]: () => undefined };
}

const config = {
  ...{ imageSize: 16, patchSize: 4, embedDim: 8, depth: 1, numHeads: 2, mlpRatio: 4 },
  ...{ layerScaleInitValue: 0.1, numClasses: 2, useMeanPooling: true },
};
const probe = {
  ...{ kind: 'classifier', task: 'linear', config, classes: ['a', 'b'] },
  ...{ normalization: 'half', cropPct: 0.9 },
} satisfies JsonObject;

const ofModel = (model: JsonObject): Weights =>
  weightsOf(new Map([[runStateKey, JSON.stringify({ globalStep: 1, epoch: 0, state: { model } })]]));

describe("the arguments of the reference's run", () => {
  const args = new Map<PickleValue, PickleValue>([
    ['model', 'cae_base_patch16_224_8k_vocab'],
    ['imagenet_default_mean_and_std', true],
    ['input_size', 32],
  ]);
  const namespace = new PickledObject('argparse', 'Namespace', []);
  namespace.state = args;

  it.each([
    ['a dict', args],
    ['a Namespace', namespace],
  ])('tell model, normalisation and size, out of %s', (_name, value) => {
    const weights = weightsOf(new Map([['args', value as PickleValue]]));
    expect(savedModelOf(weights)).toEqual({
      name: 'cae_base_patch16_224',
      normalization: 'imagenet',
      config: { imageSize: 32 },
    });
    expect(encoderFacts(weights)).toEqual({ numHeads: 12, imageSize: 32, normalization: 'imagenet' });
  });

  it('tell nothing by values of other types, nor how a linear probe normalised', () => {
    const odd = new Map<PickleValue, PickleValue>([
      ['model', 5],
      ['imagenet_default_mean_and_std', 1],
      ['input_size', 1e9],
    ]);
    expect(savedModelOf(weightsOf(new Map([['args', odd]])))).toEqual({});
    const half = new Map<PickleValue, PickleValue>([['imagenet_default_mean_and_std', false]]);
    const tree = new Map([['args', half]]);
    expect(savedModelOf(weightsOf(tree))).toEqual({ normalization: 'half' });
    const linear = new Map(encoder).set('head.1.weight', tensor(2, 8));
    expect(savedModelOf(weightsOf(tree, linear))).toEqual({});
  });

  it('where they are missing: 0.5, but for what a linear probe trained', () => {
    expect(savedModelOf(weightsOf(new Map()))).toEqual({});
    expect(
      [undefined, 'finetune', 'attentive', 'linear'].map((task) => assumedNormalization(task as 'linear')),
    ).toEqual(['half', 'half', 'half', 'imagenet']);
  });
});

describe("a run's description of its model", () => {
  it('goes along in metadata of safetensors', async () => {
    const path = join(temporaryFolder(), 'probe.safetensors');
    await writeTensors(path, encoder, { format: 'pt', ...describing(probe) });
    using weights = await openWeights(path);
    const { kind: _kind, ...saved } = probe;
    expect(savedModelOf(weights)).toEqual(saved);
    expect(encoderFacts(weights)).toEqual({
      ...{ numHeads: 2, imageSize: 16, normalization: 'half', useMeanPooling: true },
    });
    const metadata = new Map<PickleValue, PickleValue>(Object.entries(weights.metadata));
    expect(savedModelOf(weightsOf(new Map([['metadata', metadata]])))).toEqual(saved);
  });

  it.each<[string, JsonObject, RegExp]>([
    ['classes', { classes: 5 }, /^x\.pth describes a model whose classes is 5; it must be a list of names$/],
    ['names', { classes: ['a', 5] }, /classes is \["a",5\]/],
    ['task', { task: 'zzz' }, /task is "zzz"; it must be one of linear, attentive, finetune/],
    ['crop', { cropPct: 1e-9 }, /cropPct is 1e-9; it must be a number from 0\.01 to 1/],
    ['normalization', { normalization: 1 }, /must be half or imagenet/],
    ['config', { config: [] }, /config is \[\]/],
    [
      'side',
      { config: { ...config, imageSize: 8e6 } },
      /imageSize is 8000000; it must be a whole number from 1 to 4096/,
    ],
    ['patches', { config: { ...config, imageSize: 4096 } }, /at most 128 patches a side/],
    ['depth', { config: { ...config, depth: 1e7 } }, /depth is 10000000; it must be a whole number/],
    ['blocks', { config: { ...config, depth: 1000 } }, /depth is 1000; it must be 1, as its tensors have it/],
    [
      'width',
      { config: { ...config, embedDim: 16 } },
      /embedDim is 16; it must be 8, as its tensors have it/,
    ],
    [
      'ratio',
      { config: { ...config, mlpRatio: 60 } },
      /mlpRatio is 60; it must be 4, as its tensors have it/,
    ],
    ['heads', { config: { ...config, numHeads: 2.5 } }, /numHeads is 2\.5/],
    ['switch', { config: { ...config, sinPosEmb: 'no' } }, /sinPosEmb is "no"; it must be true or false/],
  ])('is refused with bad %s, in a line', (_name, change, message) => {
    const weights = ofModel({ ...probe, ...change });
    expect(() => savedModelOf(weights)).toThrow(UserError);
    expect(() => savedModelOf(weights)).toThrow(message);
    expect(() => encoderFacts(weights)).toThrow(message);
  });
});

describe('a classifier by its tensors', () => {
  it('has the positions that are there', () => {
    const head = new Map(encoder).set('head.weight', tensor(2, 8)).set('fc_norm.weight', tensor(8));
    expect(classifierOfTensors(head)?.config).toMatchObject({ sinPosEmb: false, relPosBias: false });
    head.set('pos_embed', tensor(1, 17, 8));
    expect(classifierOfTensors(head)?.config).toMatchObject({ sinPosEmb: true, useMeanPooling: true });
    expect(classifierOfTensors(encoder)).toBeUndefined();
  });
});
