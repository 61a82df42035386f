import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { DalleDecoder, DalleEncoder } from '../models/dalle-dvae.js';
import { dalleSizes, loadExactly, oneHotTokens } from '../models/tokenizer.js';
import type { TensorEntries } from '../models/tokenizer-files.js';
import { cast } from '../tensor/ops/pointwise.js';
import { argmax } from '../tensor/ops/vision.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { fixtureParameters } from './cae-step.js';
import { toChannelsFirst, toChannelsLast } from './layout.js';
import type { Computed, ParityOptions } from './types.js';

type Rank4 = [number, number, number, number];

/** DALL-E's encoder and decoder: logits, tokens, and all six channels of the reconstruction. */
export async function runDalleDvae(
  file: SafetensorsFile,
  { device, dtype }: ParityOptions,
): Promise<Map<string, Computed>> {
  const parameters = fixtureParameters(file);
  const half = (name: 'encoder' | 'decoder'): TensorEntries =>
    new Map(
      [...parameters]
        .filter(([key]) => key.startsWith(`${name}.`))
        .map(([key, entry]) => [key.slice(name.length + 1), entry]),
    );
  const encoder = new DalleEncoder(dalleSizes(half('encoder'), 'encoder', file.path));
  loadExactly(encoder, half('encoder'), file.path);
  encoder.computeDtype = dtype;
  const decoder = new DalleDecoder(dalleSizes(half('decoder'), 'decoder', file.path));
  loadExactly(decoder, half('decoder'), file.path);

  const shape = file.info('input.images').shape as Rank4;
  const [b, c, h, w] = shape;
  const images = Tensor.from(toChannelsLast(file.readFloat32('input.images'), shape), [b, h, w, c], device);
  const logits = scope(() => cast(encoder.logits(images), 'f32'));
  const indices = argmax(logits);
  // The decoder is held against the reference on the reference's tokens: one token that differs is another picture.
  const tokens = Tensor.from(file.readInt32('expect.indices'), indices.shape, device);
  const oneHot = oneHotTokens(tokens, encoder.vocabulary);
  const reconstruction = decoder.forward(oneHot);
  const computed = new Map<string, Computed>([
    ['logits', toChannelsFirst(logits.dataSync(), logits.shape as Rank4)],
    ['indices', { data: indices.dataSync(), shape: indices.shape }],
    ['reconstruction', toChannelsFirst(reconstruction.dataSync(), reconstruction.shape as Rank4)],
  ]);
  for (const tensor of [images, logits, indices, tokens, oneHot, reconstruction]) tensor.release();
  encoder.dispose();
  decoder.dispose();
  return computed;
}
