import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.js';
import { makeSmallWorld, type SmallWorld } from './small-cli.js';

let folder: string;
let world: SmallWorld;
/** Folder of a pretraining run of an epoch; its checkpoint as a file, and that as the folder `convert` makes. */
let run: string;
let file: string;
let converted: string;

/** Runs a command that must succeed; returns what it said. */
function done(...args: string[]): { stdout: string; stderr: string } {
  const { status, stdout, stderr } = runCli(...args);
  expect(stderr).not.toContain('cae-native:');
  expect(status).toBe(0);
  return { stdout, stderr };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  world = await makeSmallWorld(folder, 4);
  [run, file, converted] = [join(folder, 'run'), join(folder, 'run.pth'), join(folder, 'converted')];
  done('pretrain', ...world.flags(run), '--epochs', '1');
  done('convert', run, file);
  done('convert', file, converted);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const twoEpochs = (out: string): string[] => [...world.flags(join(folder, out)), '--epochs', '2'];

describe('--resume', () => {
  it.each(['run', 'converted'])('takes the folder %s for the newest checkpoint in it', (name) => {
    const { stderr } = done('pretrain', ...twoEpochs(`on-${name}`), '--resume', join(folder, name));
    expect(stderr).toMatch(new RegExp(`resumed from .*/${name}/.*_checkpoint-0 at step 2 of 4`));
    expect(existsSync(join(folder, `on-${name}`, 'small_checkpoint-1'))).toBe(true);
  });

  it('takes the folder of a fine-tuning run, to train on and to evaluate', () => {
    const flags = ['--data_set', 'image_folder', '--data_path', world.data, '--eval_data_path', world.data];
    const sizes = ['--finetune', run, '--batch_size', '4', '--warmup_epochs', '0', '--num_workers', '1'];
    const tuned = join(folder, 'tuned');
    const { stdout } = done('finetune', ...flags, ...sizes, '--epochs', '1', '--output_dir', tuned);
    const resumed = ['--output_dir', join(folder, 'tuned-on'), '--resume', tuned];
    expect(done('finetune', ...flags, ...sizes, '--eval', ...resumed).stdout).toBe(stdout);
    const { stderr } = done('finetune', ...flags, ...sizes, '--epochs', '2', ...resumed);
    expect(stderr).toMatch(/resumed from .*tuned\/finetune_checkpoint-\w+ at step 2 of 4/);
  });

  it('says of a file that it is converted first, and of other folders what they lack', () => {
    const resumed = (path: string) => runCli('pretrain', ...twoEpochs('refused'), '--resume', path);
    expect(resumed(file)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`convert it to a folder first: cae-native convert ${file} FOLDER`),
    });
    expect(resumed(world.data).stderr).toMatch(/data holds no valid checkpoint; give a checkpoint's folder/);
    expect(resumed(join(folder, 'nowhere')).stderr).toMatch(/nowhere: it does not exist/);
    expect(existsSync(join(folder, 'refused'))).toBe(false);
  });
});

describe('reconstruct --checkpoint', () => {
  const reconstruct = (checkpoint: string, out: string) =>
    runCli(
      ...['reconstruct', join(world.data, 'a/0.jpg'), '--checkpoint', checkpoint],
      ...['--tokenizer', world.tokenizer, '-o', join(folder, out)],
    );

  it.each(['run', 'converted'])('takes the folder %s', (name) => {
    expect(reconstruct(join(folder, name), `${name}.png`)).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(join(folder, `${name}.png`))).toBe(true);
  });

  it.each(['jpeg', 'webp', 'png'])('writes a %s where the name says so', async (format) => {
    const name = `sheet.${format === 'jpeg' ? 'jpg' : format}`;
    expect(reconstruct(run, name).status).toBe(0);
    expect((await sharp(join(folder, name)).metadata()).format).toBe(format);
  });

  it('says of a file that it is converted first', () => {
    expect(reconstruct(file, 'file.png')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/run\.pth is a file; convert it to a folder first: cae-native convert /),
    });
  });
});
