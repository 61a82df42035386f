import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatManifest, type JsonObject, readManifest } from '../../lib/checkpoint/checkpoint-state.js';
import { runCli } from './run-cli.js';
import { makeSmallWorld, type SmallWorld, smallTokenizer } from './small-cli.js';

let folder: string;
let world: SmallWorld;
let run: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  world = await makeSmallWorld(join(folder, 'world'), 4);
  run = join(folder, 'run');
  const { status, stderr } = runCli('pretrain', ...world.flags(run), '--epochs', '1');
  expect(status, stderr).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The one line that refuses to go on with these flags. */
function refused(args: string[]): string {
  const { status, stderr } = runCli(...args);
  const lines = stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('passed over'));
  expect(lines, stderr).toHaveLength(1);
  expect(status).toBe(1);
  return lines[0]!;
}

describe('a pretraining run does not go on with', () => {
  it.each([
    ['num_heads 2, this run has 4', ['--num_heads', '4']],
    ['decoder_num_heads 2, this run has 4', ['--decoder_num_heads', '4']],
    ['layer_scale_init_value 0.1, this run has 0.2', ['--layer_scale_init_value', '0.2']],
    ['drop_path 0.1, this run has 0', ['--drop_path', '0']],
    ['masked_patches 8, this run has 6', ['--num_mask_patches', '6']],
    ['imagenet_normalization false, this run has true', ['--imagenet_default_mean_and_std']],
  ])('%s', (difference, flags) => {
    const line = refused(['pretrain', ...world.flags(run), '--epochs', '2', ...flags]);
    expect(line).toContain(`small_checkpoint-0 was made with ${difference}; use the same data and flags, or`);
  });

  it('a tokenizer of other weights', () => {
    const other = join(folder, 'other-tokenizer');
    expect(runCli(...smallTokenizer(world.data, other), '--seed', '1')).toMatchObject({ status: 0 });
    const flags = [...world.flags(run), '--epochs', '2', '--discrete_vae_weight_path', other];
    expect(refused(['pretrain', ...flags])).toMatch(/was made with tokenizer "[0-9a-f]{64}", this run has "/);
  });

  it('but with the same flags, also from a checkpoint that does not record the tokenizer', () => {
    const checkpoint = join(run, 'small_checkpoint-0');
    const manifest = readManifest(checkpoint);
    const { tokenizer, ...unchanged } = manifest.state['unchanged'] as JsonObject;
    expect(tokenizer).toMatch(/^[0-9a-f]{64}$/);
    const path = join(checkpoint, 'state.json');
    const before = readFileSync(path);
    writeFileSync(path, formatManifest({ ...manifest, state: { ...manifest.state, unchanged } }));
    const old = runCli('pretrain', ...world.flags(run), '--epochs', '2', '--keep_last', '9');
    expect(old.status, old.stderr).toBe(0);
    expect(old.stderr).toMatch(/resumed from .*small_checkpoint-0/);
    writeFileSync(path, before);
    const again = runCli('pretrain', ...world.flags(run), '--epochs', '3');
    expect(again.status, again.stderr).toBe(0);
    expect(again.stderr).toMatch(/resumed from .*small_checkpoint-1/);
  });
});

it('a tokenizer does not go on with another loss', () => {
  const args = [...smallTokenizer(world.data, world.tokenizer), '--epochs', '2', '--smooth_l1_loss'];
  expect(refused(args)).toMatch(
    /tokenizer_checkpoint-0 was made with smooth_l1_loss false, this run has true; .*--output_dir$/,
  );
});
