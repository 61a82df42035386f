import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from '../fixtures.js';
import { makePictures } from '../training/small-run.js';
import { runCli } from './run-cli.js';

const sizes = [
  ...['--model', 'cae_tiny_patch16_224', '--input_size', '32', '--patch_size', '8', '--embed_dim', '32'],
  ...['--depth', '2', '--num_heads', '2', '--threads', '1', '--num_workers', '1', '--batch_size', '8'],
];
let folder: string;
let data: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  data = await makePictures(join(folder, 'data'), 4);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const place = (name: string): string => join(folder, name);

/** Runs a command that must succeed; returns what it printed. */
function done(...args: string[]): { out: string; err: string } {
  const { status, stdout, stderr } = runCli(...args);
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  return { out: stdout, err: stderr };
}

function train(task: string, ...flags: string[]): string {
  const out = place(`${task}-run`);
  const split = ['--data_set', 'image_folder', '--data_path', data, '--eval_data_path', data];
  done(task, ...split, '--random', ...sizes, '--epochs', '2', '--output_dir', out, ...flags);
  return out;
}

/** What eval says of a run, a `.safetensors` and a `.pth` made of it, which must be one. */
function sameScores(run: string, name: string): void {
  const files = [`${name}.safetensors`, `${name}.pth`].map(place);
  for (const file of files) done('convert', run, file);
  // Back out of safetensors, which alone tell what the tensors do not.
  files.push(place(`${name}-again.pth`));
  done('convert', files[0] as string, files[2] as string);
  const { out } = done('eval', data, '--checkpoint', run);
  for (const file of files) {
    const evaluated = done('eval', data, '--checkpoint', file);
    expect([file, evaluated.out]).toEqual([file, out]);
    expect(evaluated.err).not.toContain('does not say');
  }
}

describe('a model that was converted', () => {
  it('linear probe on the mean of patches: eval and export go on with the mean', () => {
    const run = train('linear', '--use_mean_pooling', '--opt', 'sgd', '--lr', '0.5', '--warmup_epochs', '0');
    sameScores(run, 'linear');
    for (const [from, to] of [
      [run, 'run.onnx'],
      [place('linear.safetensors'), 'file.onnx'],
    ] as const) {
      done('export', '--checkpoint', from, '--onnx', place(to), '--features', 'classifier');
    }
    expect(Buffer.compare(readFileSync(place('run.onnx')), readFileSync(place('file.onnx')))).toBe(0);
  });

  it('fine-tuned without positions: none are added', () => {
    const flags = ['--disable_sin_pos_emb', '--warmup_epochs', '0', '--lr', '1e-2', '--mixup', '0'];
    sameScores(train('finetune', ...flags, '--cutmix', '0', '--init_scale', '1'), 'finetune');
  });
});

describe('where nothing tells how pictures were normalised', () => {
  const said =
    /checkpoint\.pth does not say how its pictures were normalised; assumed: mean and deviation 0\.5/;
  const checkpoint = ['--checkpoint', fixture('reference_checkpoint.pth')];
  const small = [...sizes, '--depth', '1'];

  it('embed and export assume 0.5 and say so; a flag decides without a word', () => {
    const embed = ['embed', data, ...checkpoint, ...small, '-o', place('f.npy')];
    expect(done(...embed).err).toMatch(said);
    expect(done(...embed, '--normalization', 'imagenet').err).not.toContain('does not say');
    const onnx = ['export', ...checkpoint, '--num_heads', '2', '--onnx', place('f.onnx')];
    expect(done(...onnx).err).toMatch(said);
    expect(readFileSync(place('f.onnx'), 'latin1')).toContain('0.5,0.5,0.5');
    expect(done(...onnx, '--imagenet_default_mean_and_std').err).toBe('');
    expect(readFileSync(place('f.onnx'), 'latin1')).toContain('0.485,0.456,0.406');
  });
});
