import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { UserError } from '../../lib/errors.js';
import { loadTokenizer } from '../../lib/models/tokenizer.js';
import { fixtureParameters } from '../../lib/parity/cae-step.js';
import { compareWithFixture, tolerances } from '../../lib/parity/compare.js';
import { runDiscreteVae } from '../../lib/parity/discrete-vae.js';
import { toChannelsLast } from '../../lib/parity/layout.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { fixture } from '../fixtures.js';
import { relativeError } from '../tensor/numbers.js';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'dvae-'));
  folders.push(made);
  return made;
}

type Entry = [name: string, entry: { shape: readonly number[]; data: ArrayBufferView }];

/** Writes the fixture's parameters as a tokenizer's file; `change` may spoil them. */
async function write(path: string, change: (entries: Entry[]) => Entry[] = (same) => same): Promise<string> {
  const file = SafetensorsFile.open(fixture('discrete_vae.safetensors'));
  const entries = change([...fixtureParameters(file)]);
  file.close();
  await writeSafetensors(
    path,
    entries.map(([name, { shape, data }]) => ({
      name,
      dtype: 'F32',
      shape: [...shape],
      byteLength: data.byteLength,
      read: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  );
  return path;
}

type Rank4 = [number, number, number, number];

const message = async (path: string): Promise<string> => {
  const error = await loadTokenizer('customized', path).then(
    () => new Error('it was taken'),
    (reason: unknown) => reason as Error,
  );
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).not.toContain('\n');
  return error.message;
};

describe('the customized tokenizer', () => {
  it.each(['file', 'folder'])(
    'from a %s: sizes from its tensors, the reference’s tokens and picture',
    async (kind) => {
      const within = folder();
      const path = await write(join(within, 'model.safetensors'));
      const tokenizer = await loadTokenizer('customized', kind === 'file' ? path : within);
      expect([tokenizer.vocabulary, tokenizer.reduction]).toEqual([64, 8]);
      const file = SafetensorsFile.open(fixture('discrete_vae.safetensors'));
      const shape = file.info('input.images').shape as Rank4;
      const [b, c, h, w] = shape;
      const images = Tensor.from(toChannelsLast(file.readFloat32('input.images'), shape), [b, h, w, c]);
      const tokens = tokenizer.encode(images);
      expect(tokens.shape).toEqual([b, 4, 4]);
      expect([...tokens.dataSync()]).toEqual([...file.readInt32('expect.indices')]);
      const picture = tokenizer.decode(tokens);
      const wanted = toChannelsLast(file.readFloat32('expect.reconstruction'), shape).map(
        (v) => 0.5 * v + 0.5,
      );
      expect(relativeError(picture.dataSync(), wanted)).toBeLessThan(1e-5);
      for (const tensor of [images, tokens, picture]) tensor.release();
      file.close();
    },
  );

  it('in bf16: logits and reconstruction within 2e-2, tokens but for near ties', async () => {
    const file = SafetensorsFile.open(fixture('discrete_vae.safetensors'));
    const computed = await runDiscreteVae(file, { device: defaultDevice(), dtype: 'bf16' });
    const comparisons = compareWithFixture(file, computed, tolerances.bf16);
    expect(comparisons.filter(({ passed }) => !passed)).toEqual([]);
    expect(comparisons.find(({ name }) => name === 'logits')!.error).toBeGreaterThan(1e-4);
    file.close();
  });

  it('refuses wrong files with one line naming them', async () => {
    const within = folder();
    expect(await message(within)).toContain(within);
    expect(await message(join(within, 'absent'))).toMatch(/absent does not exist/);
    expect(await message(fixture('reference_checkpoint.pth'))).toMatch(
      /reference_checkpoint\.pth .*no customized/,
    );
    expect(await message(fixture('cae_step.safetensors'))).toMatch(/cae_step\.safetensors/);
    expect(await message(fixture('dalle_encoder.pkl'))).toMatch(/dalle_encoder\.pkl/);
    const text = join(within, 'notes.pth');
    writeFileSync(text, 'Nothing to see here.\n');
    expect(await message(text)).toMatch(/notes\.pth/);
    const lacking = await write(join(within, 'lacking.safetensors'), (entries) =>
      entries.filter(([name]) => name !== 'decoder.0.bias'),
    );
    expect(await message(lacking)).toMatch(/lacking\.safetensors.*decoder\.0\.bias/);
    const odd = await write(join(within, 'odd.safetensors'), (entries) =>
      entries.map(([name, entry]) => [name, name === 'decoder.6.bias' ? { ...entry, shape: [1, 3] } : entry]),
    );
    expect(await message(odd)).toMatch(/odd\.safetensors.*decoder\.6\.bias/);
  });
});
