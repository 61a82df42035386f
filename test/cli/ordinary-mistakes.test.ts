import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { fixture } from '../fixtures.js';
import { runCli } from './run-cli.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  writeFileSync(join(folder, 'file'), 'no folder');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The only line of a command that must fail, as a user's mistake. */
function refused(...args: string[]): string {
  const { status, stderr } = runCli(...args);
  expect(status).toBeGreaterThan(0);
  expect(stderr).not.toContain('internal error');
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  return stderr.trimEnd();
}

/** A copy of a golden fixture with another config, or with a parameter that is only its first number. */
async function changed(
  name: string,
  to: string,
  { config, parameter }: { config?: string; parameter?: string },
): Promise<string> {
  using file = SafetensorsFile.open(fixture(name));
  const entries = file.names().map((tensor) => {
    const whole = { name: tensor, ...file.info(tensor), read: () => file.read(tensor) };
    const short = { shape: [1], byteLength: 4, read: () => file.read(tensor).slice(0, 4) };
    return tensor === parameter ? { ...whole, ...short } : whole;
  });
  const path = join(folder, to);
  await writeSafetensors(path, entries, { ...file.metadata, ...(config === undefined ? {} : { config }) });
  return path;
}

describe('ordinary mistakes are told in one line', () => {
  it.each([
    [
      'finetune',
      ['--output_dir', 'out', '--data_path'],
      /cannot read .*file\/train: .*is a file, not a folder/,
    ],
    ['knn', ['--random', '--model', 'cae_tiny_patch16_224'], /cannot read .*file\/train: .*is a file, not/],
    [
      'embed',
      ['--random', '--data_set', 'CIFAR10', '-o', 'out.npy'],
      /cannot read .*file\/test_batch\.bin: .*is a file, not a folder/,
    ],
  ])('%s of a file where a folder of pictures is wanted', (command, flags, message) => {
    expect(refused(command, ...flags, join(folder, 'file'))).toMatch(message);
  });

  it('a fixture whose config is empty or broken, or that has a parameter of another shape', async () => {
    const kind = 'linear_probe_steps.safetensors';
    const empty = await changed(kind, 'empty.safetensors', { config: '{}' });
    const broken = await changed(kind, 'broken.safetensors', { config: '{"lr": [' });
    const shape = await changed(kind, 'shape.safetensors', { parameter: 'param.head.bias' });
    expect(refused('parity', empty)).toMatch(/empty\.safetensors does not fit: its config has no embed_dim/);
    expect(refused('parity', broken)).toMatch(/broken\.safetensors does not fit: its config is no JSON/);
    expect(refused('parity', shape)).toMatch(
      /shape\.safetensors does not fit: .* is \[1\] in the checkpoint/,
    );
  });

  it('parity in fp16 on the cpu', () => {
    expect(refused('parity', fixture('linear_probe_steps.safetensors'), '--precision', 'fp16')).toMatch(
      /--precision fp16 is for --device cuda; on the cpu give bf16 or fp32/,
    );
  });
});
