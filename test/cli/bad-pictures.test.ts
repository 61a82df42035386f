import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeColours } from '../training/small-finetune.js';
import { makePretrained } from './pretrained-world.js';
import { runCli } from './run-cli.js';

let folder: string;
let data: string;
let checkpoint: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  ({ data, checkpoint } = await makePretrained(folder));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a picture to train on that cannot be read', () => {
  it('is left out of cached features where --on_bad_image skip says so, and only there', async () => {
    const many = join(folder, 'many');
    await makeColours(join(many, 'train'), 51);
    await makeColours(join(many, 'val'), 3);
    writeFileSync(join(many, 'train/blue/7.jpg'), 'no picture');
    const out = join(folder, 'probe');
    const linear = (...more: string[]) =>
      runCli(
        ...['linear', '--data_path', many, '--finetune', checkpoint, '--output_dir', out],
        ...['--batch_size', '16', '--epochs', '1', '--warmup_epochs', '0', '--cache_features', ...more],
      );

    const stopped = linear();
    expect(stopped.status).toBe(1);
    expect(stopped.stderr).toMatch(
      /^cae-native: cannot read image .*train\/blue\/7\.jpg: .*; replace or remove it, or skip such files with --on_bad_image skip$/m,
    );
    expect(existsSync(out)).toBe(false);

    const skipped = linear('--on_bad_image', 'skip');
    expect(skipped.stderr.match(/^skipped image .*train\/blue\/7\.jpg: /gm)).toHaveLength(1);
    expect(skipped.status).toBe(0);
    expect(skipped.stdout).toMatch(/^acc@1 .*\(6 pictures\)/);
  });
});

describe('a picture to evaluate on that cannot be read', () => {
  it('costs a fine-tuning run no step, and no command advises a flag that does not help', () => {
    const picture = join(data, 'val/blue/2.jpg');
    const bytes = readFileSync(picture);
    writeFileSync(picture, bytes.subarray(0, bytes.length - 60));
    const out = join(folder, 'tuned');
    const flags = ['--data_path', data, '--finetune', checkpoint, '--output_dir', out, '--batch_size', '8'];
    const finetune = () =>
      runCli('finetune', ...flags, '--epochs', '1', '--warmup_epochs', '0', '--on_bad_image', 'skip');
    const line = /^cae-native: cannot read image .*val\/blue\/2\.jpg: .*; replace or remove it$/m;

    const first = finetune();
    expect(first.status).toBe(1);
    expect(first.stderr).toMatch(line);
    expect(first.stderr).toMatch(/saved .*finetune_checkpoint-0 at step 3/);
    expect(existsSync(join(out, 'finetune_checkpoint-0'))).toBe(true);

    const embedded = runCli(
      ...['embed', join(data, 'val'), '--checkpoint', checkpoint, '-o', join(folder, 'f.npy')],
    );
    expect(embedded.stderr).toMatch(line);
    expect(existsSync(join(folder, 'f.npy'))).toBe(false);

    writeFileSync(picture, bytes);
    const second = finetune();
    expect(second.status).toBe(0);
    expect(second.stderr).toContain('at step 3 of 3');
    expect(second.stdout).toMatch(/^acc@1 .*\(10 pictures\)/);
  });
});
