import { describe, expect, it } from 'vitest';
import { UserError } from '../../lib/errors.js';
import type { CaeConfig } from '../../lib/models/cae-config.js';
import { modelConfig, modelNames } from '../../lib/models/registry.js';
import type { VitConfig } from '../../lib/models/vit-config.js';
import { classifierConfig, classifierNames } from '../../lib/models/vit-registry.js';

const cae = (wrong: Partial<CaeConfig>): CaeConfig => modelConfig('cae_tiny_patch16_224_8k_vocab', wrong);
const vit = (wrong: Partial<VitConfig>): VitConfig => classifierConfig('cae_tiny_patch16_224', wrong);

const shared: [Partial<CaeConfig> & Partial<VitConfig>, RegExp][] = [
  [{ imageSize: 0 }, /^--input_size 0 must be a whole number of at least 1$/],
  [{ imageSize: -16 }, /^--input_size -16 must/],
  [{ imageSize: Number.NaN }, /^--input_size NaN must/],
  [{ imageSize: 100 }, /^--input_size 100 does not divide by --patch_size 16/],
  [{ embedDim: 0 }, /^--embed_dim 0 must be a whole number of at least 1$/],
  [{ embedDim: -12 }, /^--embed_dim -12 must/],
  [{ depth: 1.5 }, /^--depth 1.5 must/],
  [{ numHeads: 0 }, /^--num_heads 0 must/],
  [{ dropPath: 1 }, /^--drop_path 1 must be at least 0 and below 1$/],
  [{ dropPath: -1 }, /^--drop_path -1 must/],
  [{ dropPath: Number.NaN }, /^--drop_path NaN must/],
  [{ mlpRatio: Number.NaN }, /^--mlp_ratio NaN must be a number above 0/],
  [{ mlpRatio: 0 }, /^--mlp_ratio 0 must/],
  [{ mlpRatio: 0.001 }, /^--mlp_ratio 0.001 must/],
  [{ mlpRatio: Number.POSITIVE_INFINITY }, /^--mlp_ratio Infinity must/],
  [{ layerScaleInitValue: Number.NaN }, /^--layer_scale_init_value NaN must be a finite number$/],
];

describe("a pretraining model's sizes", () => {
  it.each([
    ...shared,
    [{ decoderDepth: -1 }, /^--decoder_depth -1 must be a whole number of at least 0$/],
    [{ decoderDepth: 1.5 }, /^--decoder_depth 1.5 must/],
    [{ regressorDepth: 0 }, /^--regressor_depth 0 must/],
    [{ decoderEmbedDim: 0 }, /^--decoder_embed_dim 0 must/],
    [{ decoderNumClasses: 1.5 }, /^--decoder_num_classes 1.5 must/],
    [{ alignLossWeight: Number.NaN }, /^--align_loss_weight NaN must/],
  ] as [Partial<CaeConfig>, RegExp][])('%j are refused', (wrong, message) => {
    expect(() => cae(wrong)).toThrow(UserError);
    expect(() => cae(wrong)).toThrow(message);
  });

  it('published, or without decoder blocks, are taken', () => {
    for (const name of modelNames()) expect(modelConfig(name).depth).toBeGreaterThan(0);
    expect(cae({ decoderDepth: 0, dropPath: 0.5, layerScaleInitValue: 0 }).decoderDepth).toBe(0);
  });
});

describe("a classifier's sizes", () => {
  it.each([
    ...shared,
    [{ numClasses: 0 }, /^--nb_classes 0 must/],
    [{ initScale: Number.NaN }, /^--init_scale NaN must/],
  ] as [Partial<VitConfig>, RegExp][])('%j are refused', (wrong, message) => {
    expect(() => vit(wrong)).toThrow(UserError);
    expect(() => vit(wrong)).toThrow(message);
  });

  it('published are taken', () => {
    for (const name of classifierNames()) expect(classifierConfig(name).depth).toBeGreaterThan(0);
  });
});
