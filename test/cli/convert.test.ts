import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, makeZip } from '../checkpoint/support.js';
import { fixture } from '../fixtures.js';
import { runCli } from './run-cli.js';

let folder: string;
/** One byte as Latin-1 text. */
const chr = (code: number): string => String.fromCharCode(code);
const place = (name: string): string => join(folder, name);
beforeAll(() => {
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

  it('writes over nothing it reads', () => {
    const heads = ['--num_heads', '2', '--decoder_num_heads', '2'];
    convert(fixture('reference_checkpoint.pth'), place('own'), ...heads);
    const own = place('own/reference_checkpoint_checkpoint-3');
    copyFileSync(fixture('reference_checkpoint.pth'), place('own.pth'));
    const bytes = (): string[] =>
      [place('own.pth'), ...readdirSync(own).map((name) => join(own, name))].map((path) =>
        readFileSync(path, 'base64'),
      );
    const before = bytes();
    for (const [from, to, message] of [
      [own, own, /is a run's checkpoint already; copy the folder/],
      [place('own'), place('copy'), /is a run's checkpoint already; copy the folder/],
      [own, join(own, 'model.safetensors'), /is what is read/],
      [own, join(own, 'optimizer.safetensors'), /lies in the checkpoint that is read/],
      [place('own.pth'), join(own, '../../own.pth'), /is what is read/],
    ] as const) {
      const { status, stdout, stderr } = runCli('convert', from, to);
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(message);
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    }
    expect(bytes()).toEqual(before);
    expect(existsSync(place('copy'))).toBe(false);
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

  it('reads hostile files as data, in one line and without running anything', () => {
    const laughs = Array.from({ length: 40 }, (_, i) => `]q${chr(i + 1)}(h${chr(i)}h${chr(i)}e`).join('');
    const cases: [string, string, number, RegExp][] = [
      ['system', `\x80\x02cos\nsystem\nX\x05\x00\x00\x00touch\x85R.`, 1, /os\.system, which is not allowed/],
      ['laughs', `\x80\x02]q\x00(K\x01K\x01e${laughs}.`, 1, /holds no weights/],
      ['claim', '\x80\x02B\xff\xff\xff\xff.', 1, /4294967295 more bytes .* only 1 are there/],
      ['cut', '\x80\x02}', 1, /truncated/],
    ];
    for (const [name, pickle, status, message] of cases) {
      const path = place(`${name}.pth`);
      writeFileSync(path, makeZip([{ name: 'x/data.pkl', data: bytesOf(pickle) }]));
      const result = runCli('convert', path, place(`${name}.safetensors`));
      expect(result).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(message) });
      expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
      expect(existsSync(place(`${name}.safetensors`))).toBe(false);
    }
  });

  it('refuses what is no checkpoint, and folders without one', () => {
    expect(runCli('convert', place('nothing'), place('x.pth')).stderr).toMatch(/nothing does not exist/);
    expect(runCli('convert', folder, place('x.pth')).stderr).toMatch(/holds no valid checkpoint/);
    expect(runCli('convert', join(import.meta.filename), place('x.pth')).stderr).toMatch(/safetensors/);
    expect(existsSync(place('x.pth'))).toBe(false);
  });
});
