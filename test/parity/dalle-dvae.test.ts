import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { UserError } from '../../lib/errors.js';
import { loadTokenizer } from '../../lib/models/tokenizer.js';
import { compareWithFixture, tolerances } from '../../lib/parity/compare.js';
import { runDalleDvae } from '../../lib/parity/dalle-dvae.js';
import { toChannelsLast } from '../../lib/parity/layout.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { fixture } from '../fixtures.js';
import { relativeError } from '../tensor/numbers.js';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A folder with the given copies of fixtures, by the names they get in it. */
function folderOf(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'dalle-'));
  folders.push(folder);
  for (const [name, from] of Object.entries(files)) copyFileSync(fixture(from), join(folder, name));
  return folder;
}

type Rank4 = [number, number, number, number];

function open(): { file: SafetensorsFile; images: Tensor } {
  const file = SafetensorsFile.open(fixture('dalle_dvae.safetensors'));
  const shape = file.info('input.images').shape as Rank4;
  const pixels = toChannelsLast(file.readFloat32('input.images'), shape);
  return { file, images: Tensor.from(pixels, [shape[0], shape[2], shape[3], shape[1]]) };
}

const message = async (path: string): Promise<string> => {
  const error = await loadTokenizer('dall-e', path).then(
    () => new Error('it was taken'),
    (reason: unknown) => reason as Error,
  );
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).not.toContain('\n');
  return error.message;
};

describe('the DALL-E tokenizer', () => {
  it('from its pickled modules: the reference’s tokens and picture', async () => {
    const folder = folderOf({ 'encoder.pkl': 'dalle_encoder.pkl', 'decoder.pkl': 'dalle_decoder.pkl' });
    const tokenizer = await loadTokenizer('dall-e', folder);
    expect([tokenizer.vocabulary, tokenizer.reduction]).toEqual([512, 8]);
    const { file, images } = open();
    const tokens = tokenizer.encode(images);
    expect(tokens.shape).toEqual(file.info('expect.indices').shape);
    expect([...tokens.dataSync()]).toEqual([...file.readInt32('expect.indices')]);

    const each = tokens.size / tokens.shape[0]!;
    const rows = Int32Array.from(
      { length: 3 * tokens.shape[0]! },
      (_, i) => Math.floor(i / 3) * each + 2 * (i % 3) + 1,
    );
    const some = tokenizer.encodeAt!(images, Tensor.from(rows, [tokens.shape[0]!, 3]));
    expect([...some.dataSync()]).toEqual([...rows].map((row) => tokens.dataSync()[row]));
    some.release();

    const picture = tokenizer.decode(tokens);
    const shape = file.info('expect.reconstruction').shape as Rank4;
    const channels = toChannelsLast(file.readFloat32('expect.reconstruction'), shape);
    const wanted = channels.filter((_, i) => i % 6 < 3).map((v) => (1 / (1 + Math.exp(-v)) - 0.1) / 0.8);
    expect(picture.shape).toEqual([shape[0], shape[2], shape[3], 3]);
    expect(relativeError(picture.dataSync(), wanted)).toBeLessThan(1e-5);
    for (const tensor of [images, tokens, picture]) tensor.release();
    file.close();
  });

  it('in bf16: logits within 2e-2, tokens but for near ties', async () => {
    const { file, images } = open();
    const comparisons = compareWithFixture(
      file,
      await runDalleDvae(file, { device: defaultDevice(), dtype: 'bf16' }),
      tolerances.bf16,
    );
    expect(comparisons.filter(({ passed }) => !passed)).toEqual([]);
    expect(comparisons.find(({ name }) => name === 'logits')!.error).toBeGreaterThan(1e-4);
    images.release();
    file.close();
  });

  it('refuses wrong files with one line naming them', async () => {
    expect(await message(folderOf({}))).toMatch(/encoder\.pkl is missing/);
    expect(await message(join(tmpdir(), 'no-such-folder'))).toMatch(/no-such-folder/);
    expect(await message(folderOf({ 'encoder.pkl': 'dalle_decoder.pkl' }))).toMatch(
      /encoder\.pkl .*no DALL-E encoder/,
    );
    expect(await message(folderOf({ 'encoder.pkl': 'reference_checkpoint.pth' }))).toMatch(/encoder\.pkl/);
    expect(await message(folderOf({ 'encoder.pkl': 'dalle_dvae.safetensors' }))).toMatch(/encoder\.pkl/);
    const text = folderOf({});
    writeFileSync(join(text, 'encoder.pkl'), 'These are not the weights you are looking for.\n');
    expect(await message(text)).toMatch(/encoder\.pkl/);
    expect(await message(fixture('dalle_encoder.pkl'))).toMatch(/dalle_encoder\.pkl/);
  });

  it('decodes only with a decoder', async () => {
    const tokenizer = await loadTokenizer('dall-e', folderOf({ 'encoder.pkl': 'dalle_encoder.pkl' }));
    const tokens = Tensor.from(new Int32Array(16), [1, 4, 4]);
    expect(() => tokenizer.decode(tokens)).toThrow(/decoder\.pkl is missing/);
    tokens.release();
  });
});
