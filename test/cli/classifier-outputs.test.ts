import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePretrained } from './pretrained-world.js';
import { runCli } from './run-cli.js';

let folder: string;
let data: string;
let checkpoint: string;
/** Folder of a fine-tuning run, of two blocks on 32 pixels. */
let tuned: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  ({ data, checkpoint } = await makePretrained(folder));
  tuned = join(folder, 'tuned');
  const flags = ['--data_path', data, '--finetune', checkpoint, '--output_dir', tuned, '--batch_size', '8'];
  const confusion = ['--confusion', join(tuned, 'confusion.tsv')];
  const { status } = runCli('finetune', ...flags, '--epochs', '1', '--warmup_epochs', '0', ...confusion);
  expect(status).toBe(0);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('eval of a fine-tuned model with other sizes', () => {
  it('refuses to leave blocks out', () => {
    const { status, stderr } = runCli('eval', join(data, 'val'), '--checkpoint', tuned, '--depth', '1');
    expect(status).toBe(1);
    expect(stderr).toMatch(/tuned has 2 blocks and the model 1; give --depth 2, or leave it out\n$/);
  });

  it('interpolates its positions to larger pictures, as finetune --eval does', () => {
    const flags = ['--data_path', data, '--finetune', tuned, '--output_dir', join(folder, 'none')];
    const there = runCli('finetune', ...flags, '--input_size', '64', '--batch_size', '8', '--eval');
    const here = runCli('eval', join(data, 'val'), '--checkpoint', tuned, '--input_size', '64');
    expect(here.status).toBe(0);
    expect(here.stdout).toBe(there.stdout);
  });
});

describe('files that cannot be written', () => {
  const embed = (output: string) =>
    runCli('embed', join(data, 'val'), '--checkpoint', checkpoint, '--batch_size', '2', '-o', output);

  it('embed: are told before the features are computed, and leave nothing', () => {
    const out = join(folder, 'out');
    mkdirSync(join(out, 'f.labels.npy'), { recursive: true });
    mkdirSync(join(out, 'g.npy'));
    for (const [name, taken] of [
      ['f.npy', 'f.labels.npy'],
      ['g.npy', 'g.npy'],
    ] as const) {
      const { status, stderr } = embed(join(out, name));
      expect(status).toBe(1);
      expect(stderr).toContain(`cannot write ${join(out, taken)}: it is a folder, not a file; name a file`);
      expect(stderr).not.toContain('embed ');
    }
    expect(readdirSync(out).sort()).toEqual(['f.labels.npy', 'g.npy']);
  });

  it('finetune --confusion: is told before the first epoch, but for the folders that the run makes', () => {
    expect(existsSync(join(tuned, 'confusion.tsv'))).toBe(true);
    const out = join(folder, 'unwritten');
    const flags = ['--data_path', data, '--finetune', checkpoint, '--output_dir', out, '--batch_size', '8'];
    const { status, stderr } = runCli('finetune', ...flags, '--confusion', join(folder, 'nodir', 'x.tsv'));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^cae-native: cannot write .*nodir\/x\.tsv: it does not exist; .*\n$/);
    expect(existsSync(out)).toBe(false);
  });
});

describe('linear --eval', () => {
  it('needs no training batch: its default of 512 may be more than there are pictures', () => {
    const out = ['--data_path', data, '--output_dir', join(folder, 'probed')];
    const training = ['--batch_size', '8', '--epochs', '1', '--warmup_epochs', '0', '--cache_features'];
    const probed = runCli('linear', ...out, '--finetune', checkpoint, ...training);
    const { status, stdout } = runCli('linear', ...out, '--finetune', checkpoint, '--eval');
    expect(status).toBe(0);
    expect(stdout).toBe(probed.stdout);
  });
});
