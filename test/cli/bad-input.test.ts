import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePictures } from '../training/small-run.js';
import { runCli } from './run-cli.js';

let folder: string;
let data: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  data = await makePictures(join(folder, 'data'), 4);
  mkdirSync(join(folder, 'empty'));
  mkdirSync(join(folder, 'bare', 'class'), { recursive: true });
  writeFileSync(join(folder, 'bare', 'class', 'notes.txt'), 'no picture');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs pretraining on small pictures with these flags added; it must fail in one line and write nothing. */
function refused(...flags: string[]): { status: number | null; line: string } {
  const out = join(folder, 'out');
  const { status, stderr, stdout } = runCli(
    'pretrain',
    ...['--data_path', data, '--output_dir', out, '--discrete_vae_weight_path', join(folder, 'tokenizer')],
    ...['--model', 'cae_tiny_patch16_224_8k_vocab', '--input_size', '32', '--patch_size', '8'],
    ...['--num_mask_patches', '8', '--min_mask_patches_per_block', '2', '--batch_size', '4'],
    ...flags,
  );
  expect(stdout).toBe('');
  expect(existsSync(out)).toBe(false);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  return { status, line: stderr.trimEnd() };
}

describe('cae-native pretrain refuses in one line', () => {
  it.each([
    [
      'a missing data folder',
      ['--data_path', '/nowhere/at/all'],
      1,
      /data folder \/nowhere\/at\/all: it does not/,
    ],
    [
      'a mask larger than the patch count',
      ['--num_mask_patches', '17'],
      1,
      /17 masked patches .* 4x4 grid has 16/,
    ],
    ['a size not divisible by the patch', ['--input_size', '30'], 1, /--input_size 30 does not divide/],
    [
      'a batch larger than the data set',
      ['--batch_size', '64'],
      1,
      /--batch_size 64 is larger than .* 8 images/,
    ],
    ['an lr that is no number', ['--lr', 'NaN'], 2, /--lr NaN is not allowed; give a number of above 0/],
    ['an unknown flag', ['--learning-rate', '1'], 2, /unknown option '--learning_rate'/],
    [
      'fp16 on the cpu',
      ['--device', 'cpu', '--precision', 'fp16'],
      2,
      /--precision fp16 is for --device cuda; on the cpu give bf16 or fp32/,
    ],
    ['tf32 on the cpu', ['--device', 'cpu', '--tf32'], 2, /--tf32 is for --device cuda/],
    ['a negative epoch count', ['--epochs', '-3'], 2, /--epochs -3 is not allowed/],
    ['a fraction of a batch', ['--batch-size', '2.5'], 2, /--batch_size 2.5 .* whole number/],
    ['an unknown model', ['--model', 'cae_huge'], 1, /--model cae_huge is not known; choose one of cae_tiny/],
    ['what every object has', ['--model', 'constructor'], 1, /--model constructor is not known; choose/],
    ['caev2', ['--model_type', 'caev2'], 2, /--model_type caev2 is not part of this build/],
    ['a CLIP tokenizer', ['--discrete_vae_type', 'clip'], 2, /--discrete_vae_type clip is not part/],
    ['several processes', ['--world_size', '8'], 2, /--world_size 8: this build trains in one process/],
    ['a GPU', ['--device', 'cuda'], 2, /--device cuda: this build has no CUDA backend; use --device cpu/],
    [
      'a device of another name',
      ['--device', 'tpu'],
      2,
      /--device tpu: "tpu" is no device; use cpu, cuda or cuda:N/,
    ],
    [
      'a negative warmup',
      ['--warmup_epochs', '-1'],
      2,
      /--warmup_epochs -1 is not allowed; give .* at least 0/,
    ],
    ['a warmup that is no number', ['--warmup_epochs', 'NaN'], 2, /--warmup_epochs NaN is not allowed/],
    ['a warmup longer than the run', ['--epochs', '3'], 2, /--warmup_epochs 5 must not exceed --epochs 3/],
    [
      'an update over more than an epoch',
      ['--update_freq', '9'],
      2,
      /--update_freq 9 is larger than the 2 batches/,
    ],
    ['more epochs than anybody counts', ['--epochs', '1e7'], 2, /--epochs 1e7 .* at most 1000000$/],
    ['pictures larger than any', ['--input_size', '1e6'], 2, /--input_size 1e6 .* at most 16384$/],
    ['one beta', ['--opt_betas', '0.9'], 2, /--opt_betas takes two numbers, not 1/],
  ])('%s', (_name, flags, status, message) => {
    const result = refused(...flags);
    expect(result.line).toMatch(message);
    expect(result.line).toMatch(/^cae-native: /);
    expect(result.status).toBe(status);
  });

  it('an empty data folder, and one without pictures', () => {
    expect(refused('--data_path', join(folder, 'empty')).line).toMatch(/it has no sub-folders/);
    expect(refused('--data_path', join(folder, 'bare')).line).toMatch(/there are no images in it/);
  });
});

describe('cae-native', () => {
  it('names its commands where none is given, or an unknown one', () => {
    expect(runCli()).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^cae-native: .*pretrain.*\n$/),
    });
    expect(runCli('fly')).toMatchObject({ status: 2, stderr: "cae-native: unknown command 'fly'\n" });
  });

  it('prints help with every default', () => {
    const { status, stdout } = runCli('pretrain', '--help');
    expect(status).toBe(0);
    expect(stdout).toMatch(/--opt_betas <number\.\.\.>.*default: 0\.9 0\.999/s);
  });

  it('doctor says that this machine is ready', () => {
    expect(runCli('doctor')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/oneDNN +\d.*ready/s),
    });
  });

  it('bench prints one JSON line', () => {
    const flags = ['--model', 'tiny', '--batch', '1', '--steps', '1', '--tokenizer', 'none'];
    const { status, stdout } = runCli('bench', ...flags);
    expect(status).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const numbers = JSON.parse(stdout) as Record<string, number>;
    for (const name of ['images_per_s', 'step_s', 'peak_mib']) expect(numbers[name]).toBeGreaterThan(0);
    expect(numbers['js_share']).toBeGreaterThanOrEqual(0);
  });
});
