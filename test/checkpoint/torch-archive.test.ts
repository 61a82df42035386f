import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toFloat32 } from '../../lib/checkpoint/dtype.js';
import type { PickledObject, PickleValue } from '../../lib/checkpoint/pickle-values.js';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { moduleStateDict, stateDictOf } from '../../lib/checkpoint/state-dict.js';
import { readTorchArchive } from '../../lib/checkpoint/torch-archive.js';
import type { TorchTensor } from '../../lib/checkpoint/torch-tensor.js';
import { fixture } from '../fixtures.js';
import { bytesOf, makeZip, userErrorOf } from './support.js';
import { archiveOf, floats, save, tensorCode, tensorsIn, text, valuesOf } from './torch-support.js';

function relativeError(a: Float32Array | undefined, b: Float32Array): number {
  let [difference, norm] = [0, 0];
  b.forEach((value, i) => {
    difference += ((a?.[i] ?? Number.NaN) - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(difference / norm);
}

describe('golden checkpoints', () => {
  test.each(['reference_checkpoint.pth', 'reference_checkpoint_legacy.pth'])(
    '%s equals its tensors in safetensors',
    (name) => {
      const tree = readTorchArchive(fixture(name)) as Map<string, PickleValue>;
      expect([...tree.keys()].sort()).toEqual(['args', 'epoch', 'model', 'optimizer', 'scaler']);
      const args = tree.get('args') as PickledObject;
      expect(`${args.module}.${args.name}`).toBe('argparse.Namespace');
      expect((args.state as Map<string, PickleValue>).size).toBeGreaterThan(0);
      const state = stateDictOf(tree, name);
      using expected = SafetensorsFile.open(fixture('reference_checkpoint.safetensors'));
      expect([...state.keys()].map((key) => `expect.${key}`).sort()).toEqual(expected.names().sort());
      for (const [key, tensor] of state) {
        const { dtype, shape } = expected.info(`expect.${key}`);
        expect([key, tensor.dtype, tensor.shape]).toEqual([key, dtype, shape]);
        expect(Buffer.compare(tensor.read(), expected.read(`expect.${key}`))).toBe(0);
      }
    },
  );

  test('both layouts hold the same optimizer', () => {
    const [zip, legacy] = ['reference_checkpoint.pth', 'reference_checkpoint_legacy.pth'].map((name) =>
      tensorsIn(
        (readTorchArchive(fixture(name)) as Map<string, PickleValue>).get('optimizer') as PickleValue,
        '',
      ),
    ) as [Map<string, TorchTensor>, Map<string, TorchTensor>];
    expect(zip.size).toBeGreaterThan(10);
    expect([...legacy.keys()]).toEqual([...zip.keys()]);
    for (const [key, tensor] of zip)
      expect(Buffer.compare(tensor.read(), (legacy.get(key) as TorchTensor).read())).toBe(0);
  });

  test.each(['encoder', 'decoder'])('the pickled DALL-E %s', (part) => {
    const path = fixture(`dalle_${part}.pkl`);
    expect(userErrorOf(() => readTorchArchive(path))).toMatch(
      /asks for dall_e\.\w+\.\w+, which is not allowed/,
    );
    const tree = readTorchArchive(path, { allowModules: true });
    const { className, tensors, attributes } = moduleStateDict(tree, path);
    expect(className.toLowerCase()).toBe(`dall_e.${part}.${part}`);
    using expected = SafetensorsFile.open(fixture('dalle_dvae.safetensors'));
    const config = JSON.parse(expected.metadata['config'] as string) as Record<string, number>;
    const prefix = `param.${part}.`;
    const names = expected.names().filter((name) => name.startsWith(prefix));
    expect(names.length).toBeGreaterThan(10);
    expect([...tensors.keys()].sort()).toEqual(names.map((name) => name.slice(prefix.length)).sort());
    for (const name of names) {
      const tensor = tensors.get(name.slice(prefix.length)) as TorchTensor;
      expect([name, tensor.shape]).toEqual([name, expected.info(name).shape]);
      expect(Buffer.compare(tensor.read(), expected.read(name))).toBe(0);
    }
    for (const key of ['n_hid', 'n_blk_per_group', 'vocab_size']) {
      expect([key, attributes.get(key)]).toEqual([key, config[key]]);
    }
    expect(attributes.get('use_mixed_precision')).toBe(true);
    expect([...stateDictOf(tree, path).keys()]).toEqual([...tensors.keys()]);
  });

  test('a TorchScript archive equals its tensors in safetensors', () => {
    const path = fixture('clip_tiny_jit.pt');
    const { tensors } = moduleStateDict(readTorchArchive(path, { allowModules: true }), path);
    using expected = SafetensorsFile.open(fixture('clip_visual.safetensors'));
    const names = expected.names().filter((name) => name.startsWith('param.'));
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) {
      const tensor = tensors.get(name.slice('param.'.length)) as TorchTensor;
      expect([name, tensor.shape]).toEqual([name, expected.info(name).shape]);
      // The fixture's own values are not rounded to fp16.
      const error = relativeError(toFloat32(tensor.dtype, tensor.read()), expected.readFloat32(name));
      expect([name, error <= (tensor.dtype === 'F16' ? 2 ** -11 : 0)]).toEqual([name, true]);
    }
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['F16', 'F32']));
  });
});

describe('tensors of an archive', () => {
  test.each<[string, number, number[], number[], number[]]>([
    ['whole', 0, [3, 4], [4, 1], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
    ['with an offset', 5, [2, 3], [3, 1], [5, 6, 7, 8, 9, 10]],
    ['transposed', 0, [4, 3], [1, 4], [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]],
    ['strided with an offset', 1, [2, 2], [4, 2], [1, 3, 5, 7]],
    ['expanded', 3, [2, 3], [0, 1], [3, 4, 5, 3, 4, 5]],
    ['permuted, three dimensions', 0, [2, 3, 2], [1, 4, 2], [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]],
    ['strides of sizes 1 do not matter', 2, [1, 3, 1], [99, 1, 77], [2, 3, 4]],
    ['scalar', 7, [], [], [7]],
    ['empty', 0, [0, 4], [4, 1], []],
  ])('%s', (_, offset, shape, stride, values) => {
    expect(valuesOf(archiveOf(tensorCode('0', 12, offset, shape, stride), floats))).toEqual(values);
  });

  test('deflated storages', () => {
    const pickle = bytesOf('\x80\x02}', text('w'), tensorCode('d', 12, 4, [2], [1]), 's.');
    const path = save(
      makeZip([
        { name: 'x/data.pkl', data: pickle, deflate: true },
        { name: 'x/data/d', data: floats, deflate: true },
      ]),
    );
    expect(valuesOf(path)).toEqual([4, 5]);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['beyond the storage', tensorCode('0', 12, 1, [3, 4], [4, 1]), /reaches beyond its storage/],
    ['negative offset', tensorCode('0', 12, -1, [3], [1]), /impossible shape or stride/],
    ['negative size', tensorCode('0', 12, 0, [-3], [1]), /impossible shape/],
    ['negative stride', tensorCode('0', 12, 11, [3], [-1]), /impossible shape/],
    ['ranks that differ', tensorCode('0', 12, 0, [3, 1], [1]), /impossible shape/],
    [
      'a terabyte out of 4 bytes',
      tensorCode('0', 12, 0, [2 ** 20, 2 ** 20], [0, 0]),
      /far larger than its storage/,
    ],
    [
      'storage too short',
      tensorCode('0', 13, 0, [13], [1]),
      /record data\/0 has 48 bytes where 52 are needed/,
    ],
    ['record missing', tensorCode('1', 12, 0, [12], [1]), /record data\/1 is missing/],
    ['key that leaves the folder', tensorCode('../data.pkl', 12, 0, [12], [1]), /is missing/],
    ['no storage class', tensorCode('0', 12, 0, [12], [1], 'device'), /no type that is supported/],
    [
      'complex numbers',
      tensorCode('0', 12, 0, [12], [1], 'ComplexFloatStorage'),
      /torch\.ComplexFloatStorage, which is not allowed/,
    ],
    ['no storage at all', bytesOf('ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR'), /no storage/],
    ['persistent id of something else', bytesOf(text('os'), 'Q'), /no storage/],
  ])('%s', (_, code, message) => {
    const path = archiveOf(code, floats);
    const error = userErrorOf(() => stateDictOf(readTorchArchive(path), path));
    expect(error).toMatch(message);
    expect(error).toContain(path);
  });

  test('a file changed after reading is noticed', () => {
    const path = archiveOf(tensorCode('0', 12, 0, [12], [1]), floats);
    const tensor = stateDictOf(readTorchArchive(path), path).get('w') as TorchTensor;
    writeFileSync(path, 'something else');
    expect(userErrorOf(() => tensor.read())).toMatch(/changed while it was being read/);
  });
});
