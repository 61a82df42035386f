import { describe, expect, it } from 'vitest';
import { type FileTensor, tensorOfBytes } from '../../lib/checkpoint/stored-tensor.js';
import { toTimm } from '../../lib/checkpoint/timm-names.js';
import { openWeights } from '../../lib/checkpoint/weights-file.js';
import { UserError } from '../../lib/errors.js';
import { encoderTensors } from '../../lib/models/pretrained-encoder.js';
import { fixture } from '../fixtures.js';

async function encoder(): Promise<Map<string, FileTensor>> {
  using weights = await openWeights(fixture('reference_checkpoint.pth'));
  return encoderTensors(weights.tensors);
}

describe("timm's names", () => {
  it('cover the encoder: layer scales renamed, biases merged around zeros for the keys', async () => {
    const tensors = await encoder();
    const renamed = toTimm(tensors, 'x');
    expect([...renamed.keys()]).toEqual([
      ...['cls_token', 'pos_embed', 'patch_embed.proj.weight', 'patch_embed.proj.bias'],
      ...[
        ...['ls1.gamma', 'ls2.gamma', 'norm1.weight', 'norm1.bias', 'attn.qkv.bias', 'attn.qkv.weight'],
        ...['attn.proj.weight', 'attn.proj.bias', 'norm2.weight', 'norm2.bias'],
        ...['mlp.fc1.weight', 'mlp.fc1.bias', 'mlp.fc2.weight', 'mlp.fc2.bias'],
      ].map((name) => `blocks.0.${name}`),
      ...['norm.weight', 'norm.bias'],
    ]);
    const bias = renamed.get('blocks.0.attn.qkv.bias')!;
    expect([bias.shape, bias.byteLength]).toEqual([[96], 384]);
    const zeros = new Uint8Array(128);
    const expected = Buffer.concat([
      tensors.get('blocks.0.attn.q_bias')!.read(),
      zeros,
      tensors.get('blocks.0.attn.v_bias')!.read(),
    ]);
    expect(Buffer.compare(await bias.read(), expected)).toBe(0);
    expect(renamed.get('blocks.0.ls1.gamma')).toBe(tensors.get('blocks.0.gamma_1'));
  });

  it('what has no place is named', async () => {
    const tensors = await encoder();
    const table = tensorOfBytes('F32', [1], new Float32Array(1));
    const odd = new Map(tensors).set('blocks.0.attn.relative_position_bias_table', table);
    expect(() => toTimm(odd, 'x')).toThrow(UserError);
    expect(() => toTimm(odd, 'x')).toThrow(
      /x: blocks\.0\.attn\.relative_position_bias_table has no place in timm's VisionTransformer/,
    );
    tensors.delete('pos_embed');
    expect(() => toTimm(tensors, 'x')).toThrow(/lacks pos_embed/);
  });
});
