import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { flagValues } from '../../lib/cli/flags.js';
import { pretrainFlags } from '../../lib/cli/pretrain-flags.js';

/** The flags of the reference's run_pretraining and their defaults; undefined: none, or the model's own. */
const reference: Readonly<Record<string, unknown>> = {
  model_type: 'cae',
  batch_size: 64,
  epochs: 300,
  save_ckpt_freq: 50,
  discrete_vae_weight_path: undefined,
  discrete_vae_type: 'dall-e',
  dvae_num_layers: undefined,
  model: 'cae_base_patch16_224_8k_vocab',
  layer_scale_init_value: 0.1,
  input_size: 224,
  second_input_size: 112,
  drop_path: 0,
  opt: 'adamw',
  opt_eps: 1e-8,
  opt_betas: [0.9, 0.999],
  clip_grad: undefined,
  momentum: 0.9,
  weight_decay: 0.05,
  weight_decay_end: undefined,
  lr: 5e-4,
  warmup_lr: undefined,
  min_lr: 1e-5,
  warmup_epochs: 5,
  warmup_steps: -1,
  train_interpolation: 'bicubic',
  second_interpolation: 'lanczos',
  data_path: undefined,
  imagenet_default_mean_and_std: false,
  output_dir: undefined,
  log_dir: undefined,
  device: undefined, // cuda where it works, else cpu
  seed: 0,
  resume: undefined,
  auto_resume: false,
  no_auto_resume: false,
  start_epoch: 0,
  num_workers: 10,
  pin_mem: false,
  no_pin_mem: false,
  world_size: 1,
  local_rank: -1,
  dist_url: 'env://',
  exp_name: 'cae',
  crop_min_size: 0.08,
  crop_max_size: 1,
  color_jitter: 0,
  mask_generator: 'block',
  num_mask_patches: 98,
  max_mask_patches_per_block: undefined,
  min_mask_patches_per_block: 16,
  ratio_mask_patches: undefined,
  regressor_depth: 4,
  decoder_depth: 4,
  decoder_embed_dim: undefined,
  decoder_num_heads: undefined,
  decoder_num_classes: 8192,
  decoder_layer_scale_init_value: 0.1,
  num_out_dim: 512,
  align_loss_weight: 2,
  latent_alignment_loss_weight: 0,
  fix_init_weight: false,
};

/** Flags that a run on the CPU takes and has no use for, as their help says. */
const withoutEffect = new Set(['pin_mem', 'no_pin_mem']);
/** A choice of one word: every other is refused while parsing. */
const oneWord = new Set(['opt']);

describe("pretraining's flags", () => {
  it("have every flag of the reference, with its default or the model's own", () => {
    const values: Record<string, unknown> = flagValues(pretrainFlags, {});
    for (const [name, value] of Object.entries(reference)) {
      expect(Object.keys(values), name).toContain(name);
      expect(values[name], name).toEqual(value);
    }
  });

  it('all reach the code', () => {
    const source = ['pretrain.ts', 'pretrain-checks.ts', 'run-flags.ts', 'run-length.ts']
      .map((name) => readFileSync(join(import.meta.dirname, '../../lib/cli', name), 'utf8'))
      .join('\n');
    const unused = Object.keys(pretrainFlags).filter(
      (name) =>
        !new RegExp(`flags\\.${name}\\b|\\b${name}(: \\w+)?,? .*} = flags`).test(source) &&
        !withoutEffect.has(name) &&
        !oneWord.has(name),
    );
    expect(unused).toEqual([]);
    // What commands share reaches this one.
    for (const shared of ['checkReferenceRun', 'runOptions', 'stepsOfEpoch']) {
      expect(source).toMatch(new RegExp(`${shared}\\(flags\\b(?!:)`));
    }
    for (const name of withoutEffect) {
      expect(pretrainFlags[name as keyof typeof pretrainFlags].help).toMatch(/^accepted: /);
    }
  });
});
