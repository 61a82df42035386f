import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { runCli } from '../cli/run-cli.js';
import { relativeError } from '../tensor/numbers.js';
import { makeColours } from '../training/small-finetune.js';

let folder: string;
let data: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  data = join(folder, 'data');
  await makeColours(join(data, 'train'), 8);
  await makeColours(join(data, 'val'), 3);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Random weights are the same on every device, to the bit. */
const encoder = [
  ...['--random', '--model', 'cae_tiny_patch16_224', '--input_size', '32', '--patch_size', '8'],
  ...['--embed_dim', '32', '--depth', '2', '--num_heads', '2', '--num_workers', '2'],
];

/** Runs a command that must succeed on a device; returns what it printed. */
function done(device: string, ...args: string[]): string {
  const { status, stdout, stderr } = runCli(...args, ...encoder, '--device', device);
  expect(stderr).not.toContain('cae-native:');
  expect(status, stderr).toBe(0);
  if (device !== 'cpu') expect(stderr).toContain(`device: ${device} (`);
  return stdout;
}

/** The numbers of a run's last epoch. */
function lastEpoch(outputDir: string): Record<string, number> {
  const line = readFileSync(join(outputDir, 'log.txt'), 'utf8').trimEnd().split('\n').at(-1)!;
  return JSON.parse(line) as Record<string, number>;
}

describe('commands on a CUDA device do what they do on the CPU', () => {
  const training = ['--batch_size', '8', '--epochs', '2', '--warmup_epochs', '0'];
  it.each([
    ['linear', ['--lr', '0.5', '--opt', 'lars']],
    ['attentive', ['--lr', '0.1', '--model_ema']],
    ['finetune', ['--lr', '2e-3', '--model_ema', '--clip_grad', '1', '--recount', '2', '--reprob', '0.9']],
  ])('%s', (command, flags) => {
    const [cuda = {}, cpu = {}] = [defaultDevice(), 'cpu'].map((device) => {
      const out = join(folder, `${command}-${device}`);
      done(device, command, '--data_path', data, '--output_dir', out, ...training, ...flags);
      return lastEpoch(out);
    });
    for (const name of ['train_loss', 'test_loss', ...(command === 'linear' ? [] : ['test_ema_loss'])]) {
      expect(cuda[name], name).toBeGreaterThan(0);
      expect(Math.abs(cuda[name]! / cpu[name]! - 1), name).toBeLessThan(1e-3);
    }
  });

  it.each([
    ['fp32', 1e-5],
    ['bf16', 2e-2],
  ])('embed and knn in %s', (precision, tolerance) => {
    const [cuda = [], cpu = []] = [defaultDevice(), 'cpu'].map((device) => {
      const file = join(folder, `${device}-${precision}.safetensors`);
      done(device, 'embed', join(data, 'val'), '-o', file, '--precision', precision);
      using table = SafetensorsFile.open(file);
      expect(table.info('features').shape).toEqual([6, 32]);
      return table.readFloat32('features');
    });
    expect(relativeError(cuda, cpu)).toBeLessThan(tolerance);
    const votes = done(defaultDevice(), 'knn', data, '--nb_knn', '5', '--precision', precision);
    expect(votes).toMatch(/^k 5 {2}acc@1 .* \(6 pictures\)\n$/);
  });

  it('eval finds what training on the device reported', () => {
    const out = join(folder, `finetune-${defaultDevice()}`);
    const { status, stdout } = runCli('eval', join(data, 'val'), '--checkpoint', out, '--device', 'auto');
    expect(status).toBe(0);
    expect(stdout).toContain(`loss ${lastEpoch(out)['test_loss']!.toFixed(4)}`);
  });
});
