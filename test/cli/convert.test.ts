import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from '../fixtures.js';
import { buildCli, runCli } from './run-cli.js';

let folder: string;
const place = (name: string): string => join(folder, name);
beforeAll(() => {
  buildCli();
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function convert(...args: string[]): string {
  const { status, stdout, stderr } = runCli('convert', ...args);
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

describe('cae-native convert', () => {
  it('goes from .safetensors to .pth and back to the same bytes', () => {
    const original = fixture('reference_checkpoint.safetensors');
    convert(original, place('there.pth'));
    convert(place('there.pth'), place('back.safetensors'));
    expect(Buffer.compare(readFileSync(place('back.safetensors')), readFileSync(original))).toBe(0);
  });

  it('rewrites the old layout and says what a format cannot hold', () => {
    expect(convert(fixture('reference_checkpoint_legacy.pth'), place('new.pth'))).toBe(
      `wrote ${place('new.pth')}\n`,
    );
    copyFileSync(fixture('reference_checkpoint.safetensors'), place('new.safetensors'));
    expect(runCli('parity', fixture('reference_checkpoint.pth')).status).toBe(0);
    expect(convert(place('new.pth'), place('weights.safetensors'))).toMatch(
      /left out, not being weights: optimizer, epoch, scaler, args/,
    );
  });

  it('makes a checkpoint of a .pth', () => {
    const heads = ['--num_heads', '2', '--decoder_num_heads', '2'];
    const said = convert(fixture('reference_checkpoint.pth'), place('run'), ...heads);
    const made = place('run/reference_checkpoint_checkpoint-3');
    expect(said).toContain(`wrote ${made}\n`);
    expect(said).toMatch(/its alignment_encoder differs/);
    expect(readdirSync(made).sort()).toEqual(['model.safetensors', 'optimizer.safetensors', 'state.json']);
  });

  it.each([
    ['an unknown ending', ['x.safetensor'], 2, /the ending \.safetensor is not known/],
    ['heads that nothing shows', ['run2'], 1, /32 wide, .* give --num_heads/],
    ['timm into a folder', ['timm', '--to', 'timm'], 2, /--to timm writes a file/],
    ['an unknown model', ['run3', '--model', 'cae_huge'], 1, /--model cae_huge is not known/],
  ])('refuses %s in one line', (_name, [out = '', ...flags], status, message) => {
    const result = runCli('convert', fixture('reference_checkpoint.pth'), place(out), ...flags);
    expect([result.status, result.stdout]).toEqual([status, '']);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(place(out))).toBe(false);
  });

  it('refuses what is no checkpoint, and folders without one', () => {
    expect(runCli('convert', place('nothing'), place('x.pth')).stderr).toMatch(/nothing does not exist/);
    expect(runCli('convert', folder, place('x.pth')).stderr).toMatch(/holds no valid checkpoint/);
    expect(runCli('convert', join(import.meta.filename), place('x.pth')).stderr).toMatch(/safetensors/);
    expect(existsSync(place('x.pth'))).toBe(false);
  });
});
