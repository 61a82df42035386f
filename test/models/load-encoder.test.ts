import { afterEach, describe, expect, it } from 'vitest';
import { Cae } from '../../lib/models/cae.js';
import { LinearProbe } from '../../lib/models/linear-probe.js';
import { loadEncoder } from '../../lib/models/load-encoder.js';
import { modelConfig } from '../../lib/models/registry.js';
import { VisionTransformer } from '../../lib/models/vision-transformer.js';
import type { VitConfig } from '../../lib/models/vit-config.js';
import { classifierConfig, probeConfig } from '../../lib/models/vit-registry.js';
import type { Module, StateEntry } from '../../lib/nn/module.js';
import { readAll, type Tensor } from '../../lib/tensor/tensor.js';

const sizes = { imageSize: 32, depth: 2, embedDim: 24, numHeads: 2 };
const name = 'cae_tiny_patch16_224';
const made: Module[] = [];
afterEach(() => {
  for (const model of made.splice(0)) model.dispose();
});

function kept<T extends Module>(model: T): T {
  made.push(model);
  return model;
}
function finetuned(overrides: Partial<VitConfig> = {}): VisionTransformer {
  const model = kept(
    new VisionTransformer(classifierConfig(name, { ...sizes, numClasses: 5, ...overrides })),
  );
  model.initialize(1);
  return model;
}
async function entriesOf(state: Map<string, Tensor>): Promise<Map<string, StateEntry>> {
  const data = await readAll([...state.values()]);
  return new Map([...state].map(([n, { shape }], i) => [n, { shape, data: data[i]! }]));
}
/** A pretraining checkpoint, its values unlike any other model's. */
async function pretrained(): Promise<Map<string, StateEntry>> {
  const heads = { decoderEmbedDim: 24, decoderNumHeads: 2, decoderNumClasses: 16, regressorDepth: 1 };
  const cae = kept(new Cae(modelConfig('cae_tiny_patch16_224_8k_vocab', { ...sizes, ...heads })));
  cae.initialize(7);
  return entriesOf(cae.referenceStateDict());
}
const values = (model: Module, of: string): number[] => [...model.stateDict().get(of)!.dataSync()];

describe('loading a pretrained encoder', () => {
  it('into a probe: all of the encoder, nothing of the rest', async () => {
    const entries = await pretrained();
    const probe = kept(new LinearProbe(probeConfig(name, { ...sizes, numClasses: 5 })));
    probe.initialize(1);
    const { matched, missing, unexpected, resized } = loadEncoder(probe, entries, 'c.pth');
    expect(missing.every((n) => n.startsWith('head.'))).toBe(true);
    expect(missing).toHaveLength(5);
    expect(matched).toHaveLength(probe.namedParameters().size - 5);
    expect(resized).toEqual([]);
    expect(unexpected).toHaveLength([...entries.keys()].filter((n) => !n.startsWith('encoder.')).length);
    expect(unexpected).toContain('alignment_encoder.norm.weight');
    for (const n of ['cls_token', 'norm.weight', 'blocks.1.mlp.fc2.weight']) {
      expect(values(probe, n), n).toEqual([...entries.get(`encoder.${n}`)!.data]);
    }
  });

  it('refuses learnt positions, for which the fixed table would stand', async () => {
    const entries = await pretrained();
    const { shape, data } = entries.get('encoder.pos_embed')!;
    entries.set('encoder.pos_embed', { shape, data: Float32Array.from(data, (value) => value - 0.1) });
    expect(() => loadEncoder(finetuned(), entries, 'c.pth')).toThrow(
      /^c\.pth: its pos_embed is no sine-cosine/,
    );
  });

  it('into fine-tuning: its last norm goes on as fc_norm; bias tables keep their zeros', async () => {
    const entries = await pretrained();
    const shifted = Float32Array.from({ length: 24 }, (_, i) => i);
    entries.set('encoder.norm.bias', { shape: [24], data: shifted });
    const model = finetuned();
    const { matched, missing } = loadEncoder(model, entries, 'c.pth');
    expect(values(model, 'fc_norm.bias')).toEqual([...shifted]);
    expect(matched).toContain('fc_norm.bias');
    const tables = [0, 1].map((i) => `blocks.${i}.attn.relative_position_bias_table`);
    expect(new Set(missing)).toEqual(new Set([...tables, 'head.weight', 'head.bias']));
    const withCls = finetuned({ useMeanPooling: false });
    loadEncoder(withCls, entries, 'c.pth');
    expect(values(withCls, 'norm.bias')).toEqual([...shifted]);
  });

  it('a classifier’s own checkpoint loads whole; for other classes without its head', async () => {
    const source = finetuned();
    source.initialize(5);
    const entries = await entriesOf(source.stateDict());
    const same = finetuned();
    expect(loadEncoder(same, entries, 'c')).toMatchObject({ missing: [], unexpected: [], resized: [] });
    expect(values(same, 'head.weight')).toEqual(values(source, 'head.weight'));
    const other = finetuned({ numClasses: 7 });
    const load = loadEncoder(other, entries, 'c');
    expect(load.missing).toEqual(['head.weight', 'head.bias']);
    expect(load.unexpected).toEqual(['head.weight', 'head.bias']);
  });

  it('a shared bias goes to every block; a table of another grid is interpolated', async () => {
    const source = finetuned({ relPosBias: false, sharedRelPosBias: true, imageSize: 48 });
    source.relativeBias!.table.assign(Float32Array.from({ length: 56 }, (_, i) => Math.sin(i)));
    const entries = await entriesOf(source.stateDict());
    const tables = [0, 1].map((i) => `blocks.${i}.attn.relative_position_bias_table`);
    const same = finetuned({ imageSize: 48 });
    expect(loadEncoder(same, entries, 'c')).toMatchObject({ missing: [], unexpected: [], resized: [] });
    for (const n of tables)
      expect(values(same, n)).toEqual(values(source, 'rel_pos_bias.relative_position_bias_table'));
    const larger = finetuned({ imageSize: 64 });
    expect(loadEncoder(larger, entries, 'c')).toMatchObject({ missing: [], unexpected: [], resized: tables });
    // The cls token's three rows stay.
    expect(values(larger, tables[1]!).slice(-6)).toEqual(values(same, tables[1]!).slice(-6));
  });

  it('reads no values of what it leaves out', async () => {
    const entries = await pretrained();
    entries.set('decoder.huge', {
      shape: [1],
      get data(): Float32Array {
        throw new Error('read');
      },
    });
    expect(loadEncoder(finetuned(), entries, 'c').unexpected).toContain('decoder.huge');
  });

  it('refuses another width, naming tensors and shapes, and a file without an encoder; nothing is written', async () => {
    const entries = await pretrained();
    const wide = finetuned({ embedDim: 32 });
    const before = values(wide, 'blocks.0.attn.qkv.weight');
    expect(() => loadEncoder(wide, entries, 'c.pth')).toThrow(
      /^c\.pth is of another model: cls_token is \[1, 1, 24\] there and \[1, 1, 32\] here; .*; and \d+ more; give the --model/,
    );
    expect(values(wide, 'blocks.0.attn.qkv.weight')).toEqual(before);
    const decoder = new Map([...entries].filter(([n]) => n.startsWith('decoder.')));
    expect(() => loadEncoder(finetuned(), decoder, 'd.pth')).toThrow(
      /^d\.pth: nothing in it matches the encoder; name a checkpoint/,
    );
  });
});
