import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../lib/checkpoint/checkpoint-state.js';
import { exportSafetensors, exportTorch, writeTensors } from '../../lib/checkpoint/export-checkpoint.js';
import type { PickleValue } from '../../lib/checkpoint/pickle-values.js';
import { describing } from '../../lib/checkpoint/run-description.js';
import { openWeights } from '../../lib/checkpoint/weights-file.js';
import { loadPretrainedEncoder } from '../../lib/models/pretrained-encoder.js';
import { importCheckpoint } from '../../lib/training/import-checkpoint.js';
import { makePictures, pretrainSmall } from './small-run.js';

const heads = { numHeads: 2, decoderNumHeads: 2 };
let folder: string;
let data: string;
/** A run of two epochs with a checkpoint after each. */
let run: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  data = await makePictures(join(folder, 'data'), 6);
  run = join(folder, 'run');
  await pretrainSmall({ data, outputDir: run });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bytes = (path: string, name: string): Buffer => readFileSync(join(path, name));

async function toTorch(name: string, from = join(run, 'small_checkpoint-0')): Promise<string> {
  const path = join(folder, name);
  using weights = await openWeights(from);
  expect(await exportTorch(weights, path)).toEqual([]);
  return path;
}

describe('a run as a PyTorch file', () => {
  it('holds what the reference saves, the alignment encoder sharing the encoder', async () => {
    using weights = await openWeights(await toTorch('named.pth'));
    const tree = weights.tree as Map<string, PickleValue>;
    expect([...tree.keys()]).toEqual(['model', 'optimizer', 'epoch', 'args', 'cae_native']);
    expect(tree.get('epoch')).toBe(0);
    const names = [...weights.tensors.keys()];
    expect(names.slice(0, 4)).toEqual([
      'rd_pos_embed',
      'mask_token',
      'encoder.cls_token',
      'encoder.pos_embed',
    ]);
    const parts = new Set(names.map((name) => name.split('.')[0]));
    expect([...parts]).toEqual([
      ...['rd_pos_embed', 'mask_token', 'encoder', 'alignment_encoder', 'regresser', 'decoder'],
    ]);
    for (const name of names.filter((one) => one.startsWith('encoder.'))) {
      expect(weights.tensors.get(`alignment_${name}`)).toBe(weights.tensors.get(name));
    }
    const groups = (tree.get('optimizer') as Map<string, PickleValue>).get('param_groups') as Map<
      string,
      PickleValue
    >[];
    expect(groups.map((group) => group.get('weight_decay'))).toEqual([0.05, 0]);
  });

  it('gives the run back, file by file', async () => {
    using weights = await openWeights(await toTorch('back_checkpoint-0.pth'));
    const { folder: back, notes } = await importCheckpoint(weights, join(folder, 'back'), {});
    expect([back, notes]).toEqual([join(folder, 'back', 'back_checkpoint-0'), []]);
    const original = join(run, 'small_checkpoint-0');
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      expect(Buffer.compare(bytes(back, name), bytes(original, name))).toBe(0);
    }
    expect(readManifest(back)).toEqual(readManifest(original));
  });

  it('is gone on from to the same weights, also without this program’s own state in it', async () => {
    using weights = await openWeights(await toTorch('plain_checkpoint-0.pth'));
    (weights.tree as Map<string, PickleValue>).delete('cae_native');
    const { folder: imported } = await importCheckpoint(weights, join(folder, 'small_checkpoint-0'), heads);
    const { state, globalStep } = readManifest(imported);
    expect([globalStep, state['unchanged']]).toEqual([3, { steps_per_epoch: 3 }]);
    const outputDir = join(folder, 'resumed');
    const said = await pretrainSmall({ data, outputDir, options: { resume: imported } });
    expect(said).toMatch(/resumed from .*small_checkpoint-0 at step 3 of 6/);
    const last = (root: string): Buffer => bytes(join(root, 'small_checkpoint-1'), 'model.safetensors');
    expect(Buffer.compare(last(outputDir), last(run))).toBe(0);
  });

  it('and safetensors lead back to each other', async () => {
    const files = ['a.safetensors', 'b.pth', 'b.safetensors'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    {
      using weights = await openWeights(run);
      expect(await exportSafetensors(weights, files[0])).toHaveLength(1);
    }
    {
      using weights = await openWeights(files[0]);
      expect(await exportTorch(weights, files[1])).toEqual([]);
    }
    {
      using weights = await openWeights(files[1]);
      const cls = 'encoder.cls_token';
      expect(weights.tensors.get(`alignment_${cls}`)).toBe(weights.tensors.get(cls));
      expect(await exportSafetensors(weights, files[2])).toEqual([]);
    }
    expect(Buffer.compare(readFileSync(files[0]), readFileSync(files[2]))).toBe(0);
  });

  it('and safetensors tell heads and normalisation where they become a checkpoint again', async () => {
    const path = join(folder, 'told.safetensors');
    const model = {
      ...{ imagenetNormalization: true, maskedPatches: 5, tokenizerSize: 24, tokenizerType: 'customized' },
      config: { ...heads, dropPath: 0.2, alignLossWeight: 3, layerScaleInitValue: 0.3 },
    };
    using weights = await openWeights(run);
    await writeTensors(path, weights.tensors, describing(model));
    using file = await openWeights(path);
    const { folder: made } = await importCheckpoint(file, join(folder, 'told'), {});
    expect(readManifest(made).state['model']).toMatchObject(model);
  });

  it('shows an encoder, whatever holds it', async () => {
    const torch = await toTorch('encoder.pth', join(run, 'small_checkpoint-1'));
    const fromRun = await loadPretrainedEncoder(run);
    const fromTorch = await loadPretrainedEncoder(torch);
    expect([...fromRun.keys()].slice(0, 2)).toEqual(['cls_token', 'pos_embed']);
    expect([...fromTorch.keys()]).toEqual([...fromRun.keys()]);
    for (const [name, { shape, data: values }] of fromRun) {
      expect([name, fromTorch.get(name)?.shape]).toEqual([name, shape]);
      expect(fromTorch.get(name)?.data).toEqual(values);
    }
  });
});

describe('a model that is no whole CAE', () => {
  it('comes back as a run where the file holds its state, without an optimizer', async () => {
    using weights = await openWeights(await toTorch('part_checkpoint-0.pth'));
    const encoder = new Map([...weights.tensors].filter(([name]) => name.startsWith('encoder.')));
    const out = join(folder, 'part');
    const { folder: made, notes } = await importCheckpoint({ ...weights, tensors: encoder }, out, {});
    expect(notes.join()).toMatch(/no optimizer: training cannot go on/);
    const { files, state } = readManifest(made);
    expect(Object.keys(files)).toEqual(['model.safetensors']);
    expect(state).toEqual(readManifest(join(run, 'small_checkpoint-0')).state);
    using back = await openWeights(made);
    expect([...back.tensors.keys()]).toEqual([...encoder.keys()]);
  });
});

describe('what would write over its own source', () => {
  it('is refused: a checkpoint into its folder or another, and its weights into their folder', async () => {
    const own = join(run, 'small_checkpoint-0');
    const before = readManifest(own);
    using weights = await openWeights(own);
    for (const out of [own, run, join(folder, 'elsewhere')]) {
      await expect(importCheckpoint(weights, out, heads)).rejects.toThrow(
        /small_checkpoint-0 is a run's checkpoint already; copy the folder/,
      );
    }
    using file = await openWeights(join(own, 'model.safetensors'));
    await expect(importCheckpoint(file, own, heads)).rejects.toThrow(
      /lies in the checkpoint it would replace/,
    );
    expect(readManifest(own)).toEqual(before);
  });
});

describe('a file that makes no run', () => {
  it('says which heads are missing, what is no CAE, and another width', async () => {
    using weights = await openWeights(await toTorch('odd.pth'));
    const tree = weights.tree as Map<string, PickleValue>;
    tree.delete('cae_native');
    const out = join(folder, 'odd');
    await expect(importCheckpoint(weights, out, {})).rejects.toThrow(/32 wide.*give --num_heads/);
    const encoder = new Map([...weights.tensors].filter(([name]) => name.startsWith('encoder.')));
    await expect(importCheckpoint({ ...weights, tensors: encoder }, out, heads)).rejects.toThrow(
      /no whole Context AutoEncoder/,
    );
    const state = (tree.get('optimizer') as Map<string, PickleValue>).get('state') as Map<
      number,
      PickleValue
    >;
    const [first, third] = [state.get(0) as PickleValue, state.get(2) as PickleValue];
    state.set(0, third);
    await expect(importCheckpoint(weights, out, heads)).rejects.toThrow(
      /the moments of parameter 0, mask_token \[1, 1, 32\], are \[/,
    );
    state.set(0, first);
    state.delete(7);
    await expect(importCheckpoint(weights, out, heads)).rejects.toThrow(
      /holds \d+ parameters, and the model/,
    );
  });
});
