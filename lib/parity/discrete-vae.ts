import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { DiscreteVae, discreteVaeConfig } from '../models/discrete-vae.js';
import { loadExactly } from '../models/tokenizer.js';
import { cast } from '../tensor/ops/pointwise.js';
import { scope } from '../tensor/scope.js';
import { withTape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { fixtureParameters } from './cae-step.js';
import { fixtureConfig } from './fixture-config.js';
import { toChannelsFirst, toChannelsLast } from './layout.js';
import type { Computed, ParityOptions } from './types.js';

type Rank4 = [number, number, number, number];

/** The customized tokenizer: logits, tokens, reconstruction; then the training loss and its gradients. */
export async function runDiscreteVae(
  file: SafetensorsFile,
  { device, dtype }: ParityOptions,
): Promise<Map<string, Computed>> {
  const { temperature } = fixtureConfig<{ temperature: number }>(file, ['temperature']);
  const parameters = fixtureParameters(file);
  const shapes = new Map([...parameters].map(([name, entry]) => [name, entry.shape]));
  const model = new DiscreteVae(discreteVaeConfig(shapes, file.path));
  loadExactly(model, parameters, file.path);
  model.computeDtype = dtype;

  const input = (name: string): Tensor => {
    const shape = file.info(name).shape as Rank4;
    const [b, c, h, w] = shape;
    return Tensor.from(toChannelsLast(file.readFloat32(name), shape), [b, h, w, c], device);
  };
  const computed = new Map<string, Computed>();
  const put = (name: string, tensor: Tensor): void => {
    computed.set(name, toChannelsFirst(cast(tensor, 'f32').dataSync(), tensor.shape as Rank4));
  };
  scope(() => {
    const images = input('input.images');
    const noise = input('input.gumbel_noise');
    put('logits', model.logits(images));
    const tokens = model.encode(images);
    computed.set('indices', {
      data: tokens.dataSync(),
      shape: [tokens.shape[0]!, tokens.size / tokens.shape[0]!],
    });
    put('reconstruction', model.reconstruct(tokens));
    // Tokenizers train in fp32, whatever the precision of the run that uses them.
    model.computeDtype = 'f32';
    withTape((tape) => {
      const out = model.trainingLosses(images, { temperature, seed: 0, step: 0, noise });
      put('soft_reconstruction', out.reconstruction);
      computed.set('loss', { data: out.loss.dataSync(), shape: [] });
      tape.backward(out.loss);
    });
    for (const [name, { grad }] of model.namedParameters()) {
      if (grad !== null) computed.set(`grad.${name}`, { data: grad.dataSync(), shape: grad.shape });
    }
  });
  model.dispose();
  return computed;
}
