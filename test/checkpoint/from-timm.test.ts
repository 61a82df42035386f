import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { exportSafetensors, exportTorch, writeTensors } from '../../lib/checkpoint/export-checkpoint.js';
import { fromTimm } from '../../lib/checkpoint/from-timm.js';
import { type FileTensor, tensorOfBytes } from '../../lib/checkpoint/stored-tensor.js';
import { toTimm } from '../../lib/checkpoint/timm-names.js';
import { writeTorchArchive } from '../../lib/checkpoint/torch-writer.js';
import { openWeights } from '../../lib/checkpoint/weights-file.js';
import { UserError } from '../../lib/errors.js';
import { encoderEntries, encoderTensors } from '../../lib/models/pretrained-encoder.js';
import { vitToOnnx } from '../../lib/onnx/vision-transformer.js';
import { fixture } from '../fixtures.js';
import { temporaryFolder } from './support.js';

const width = 32;
const qkv = 'blocks.0.attn.qkv.bias';
let encoder: Map<string, FileTensor>;
beforeAll(async () => {
  using weights = await openWeights(fixture('reference_checkpoint.pth'));
  encoder = encoderTensors(weights.tensors);
});

/** Tensors as lists of bytes, by name and in the names' order. */
async function contents(
  tensors: ReadonlyMap<string, { read(): Uint8Array | Promise<Uint8Array> }>,
): Promise<[string, string][]> {
  const entries = await Promise.all(
    [...tensors].map(
      async ([name, tensor]): Promise<[string, string]> => [
        name,
        Buffer.from(await tensor.read()).toString('hex'),
      ],
    ),
  );
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The encoder as timm names it, with this bias of the first block. */
function timmWithBias(bias: Float32Array): Map<string, FileTensor> {
  const tensors = toTimm(encoder, 'x') as Map<string, FileTensor>;
  return tensors.set(qkv, tensorOfBytes('F32', [bias.length], bias));
}

describe("timm's names read back", () => {
  it.each(['vit.safetensors', 'vit.pth'])('give the encoder again, out of %s', async (name) => {
    const path = join(temporaryFolder(), name);
    const renamed = toTimm(encoder, 'x');
    if (name.endsWith('.pth')) await writeTorchArchive(path, (storages) => storages.stateDict(renamed));
    else await writeTensors(path, renamed);
    using weights = await openWeights(path);
    expect(weights.wasTimm).toBe(true);
    expect(await contents(weights.tensors)).toEqual(await contents(encoder));
    const back = { torch: join(temporaryFolder(), 'b.pth'), plain: join(temporaryFolder(), 'b.safetensors') };
    expect(await exportTorch(weights, back.torch)).toEqual([]);
    expect(await exportSafetensors(weights, back.plain)).toEqual([]);
    for (const file of Object.values(back)) {
      using again = await openWeights(file);
      expect(again.wasTimm).toBeUndefined();
      expect(await contents(again.tensors)).toEqual(await contents(encoder));
    }
  });

  it('make the same ONNX model, byte for byte', async () => {
    const folder = temporaryFolder();
    await writeTensors(join(folder, 'timm.safetensors'), toTimm(encoder, 'x'));
    await writeTensors(join(folder, 'own.safetensors'), encoder);
    const models = await Promise.all(
      ['timm.safetensors', 'own.safetensors'].map(async (name) => {
        using weights = await openWeights(join(folder, name));
        const entries = encoderEntries(weights);
        return vitToOnnx({ entries, heads: 2, imageSize: 32, features: 'cls', source: name });
      }),
    );
    expect(models[0]).toEqual(models[1]);
  });

  it('have their queries’ and values’ biases, and none of keys, which softmax takes away', () => {
    const bias = Float32Array.from({ length: 3 * width }, (_, i) => i);
    const back = fromTimm(timmWithBias(bias), 'x');
    const values = (name: string) => new Float32Array(new Uint8Array(back.get(name)!.read()).buffer);
    expect(values('blocks.0.attn.q_bias')).toEqual(bias.subarray(0, width));
    expect(values('blocks.0.attn.v_bias')).toEqual(bias.subarray(2 * width));
    expect(back.has(qkv)).toBe(false);
    expect(() => fromTimm(timmWithBias(new Float32Array(7)), 'x')).toThrow(UserError);
    expect(() => fromTimm(timmWithBias(new Float32Array(7)), 'x')).toThrow(/is \[7\], not a query's/);
  });
});

describe('names of neither', () => {
  it('stay as they are, and an export to ONNX refuses what would change its tokens', async () => {
    using weights = await openWeights(fixture('reference_checkpoint.pth'));
    expect(weights.wasTimm).toBeUndefined();
    const entries = encoderEntries(weights);
    entries.set('blocks.0.attn.q_norm.weight', { shape: [width], data: new Float32Array(width) });
    const options = { entries, heads: 2, imageSize: 32, features: 'cls', source: 'x' } as const;
    expect(() => vitToOnnx(options)).toThrow(
      /x has blocks\.0\.attn\.q_norm\.weight, which this encoder has no/,
    );
  });
});
