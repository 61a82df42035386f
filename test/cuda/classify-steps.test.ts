import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { type SafetensorsEntry, writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { AttentiveProbe } from '../../lib/models/attentive-probe.js';
import { LinearProbe } from '../../lib/models/linear-probe.js';
import { VisionTransformer } from '../../lib/models/vision-transformer.js';
import { classifierConfig, probeConfig } from '../../lib/models/vit-registry.js';
import type { Module } from '../../lib/nn/module.js';
import { layerDecayGroups } from '../../lib/optim/layer-decay.js';
import { compareWithFixture, tolerances } from '../../lib/parity/compare.js';
import { runAttentiveProbeSteps, runLinearProbeSteps } from '../../lib/parity/probe-steps.js';
import type { Computed, ParityRun } from '../../lib/parity/types.js';
import { runVitFinetuneStep } from '../../lib/parity/vit-finetune-step.js';
import { defaultDevice, setDefaultDevice } from '../../lib/tensor/device.js';
import { numbersOf, product, randomNumbers } from '../tensor/numbers.js';

// The fixtures' kinds with numbers made up here: the CPU's backend, held against the reference's in test/parity, says
// what is expected of the device.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function entry(name: string, { data, shape }: Computed): SafetensorsEntry {
  const dtype = data instanceof Float64Array ? 'F64' : data instanceof Int32Array ? 'I32' : 'F32';
  const read = (): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dtype, shape: [...shape], byteLength: data.byteLength, read };
}
const numbers = (name: string, shape: number[], seed: number): SafetensorsEntry =>
  entry(name, { data: Float32Array.from(randomNumbers(product(shape), seed)), shape });
const labels = (shape: number[], classes: number): SafetensorsEntry =>
  entry('input.labels', {
    data: Int32Array.from({ length: product(shape) }, (_, i) => (5 * i) % classes),
    shape,
  });

/** The model's parameters as initialised, and random numbers added that leave none at zero. */
function parameters(model: Module, prefix = ''): SafetensorsEntry[] {
  return [...model.namedParameters()]
    .filter(([name, { requiresGrad }]) => requiresGrad && name.startsWith(prefix))
    .map(([name, parameter], i) => {
      const noise = randomNumbers(product(parameter.shape), 100 + i);
      const data = Float32Array.from(numbersOf(parameter), (v, at) => v + 0.1 * noise[at]!);
      return entry(`param.${name}`, { data, shape: parameter.shape });
    });
}

interface Made {
  run: ParityRun;
  config: object;
  entries: SafetensorsEntry[];
}

function finetune(useMeanPooling: boolean): Made {
  const [batch, classes] = [3, 10];
  const sizes = { imageSize: 20, patchSize: 4, embedDim: 36, depth: 2, numHeads: 3, numClasses: classes };
  const options = { ...sizes, dropPath: 0, relPosBias: true, useMeanPooling, initScale: 1 };
  const config = classifierConfig('cae_tiny_patch16_224', { ...options, layerScaleInitValue: 0.1 });
  const model = new VisionTransformer(config);
  model.initialize(1);
  const groups = layerDecayGroups(model.namedParameters(), { depth: config.depth, layerDecay: 0.65 });
  const targets = Float32Array.from(randomNumbers(batch * classes, 2), (v) => (v > 0.5 ? v : 0));
  const made = {
    run: runVitFinetuneStep,
    config: {
      layer_decay: 0.65,
      expect_groups: Object.fromEntries(
        groups.map(({ name, decay, lrScale }) => [name, { decay, lr_scale: lrScale }]),
      ),
      optim: { betas: [0.9, 0.999], clip_grad: 1, eps: 1e-8, lr: [1e-3, 2e-3], weight_decay: [0.05, 0.05] },
      model: {
        ...{ depth: config.depth, embed_dim: config.embedDim, img_size: config.imageSize },
        ...{ num_heads: config.numHeads, patch_size: config.patchSize, num_classes: config.numClasses },
        ...{ init_scale: 1, layer_scale_init_value: 0.1, mlp_ratio: config.mlpRatio },
        ...{ rel_pos_bias: true, sin_pos_emb: config.sinPosEmb, use_mean_pooling: useMeanPooling },
      },
    },
    entries: [
      ...parameters(model),
      numbers('input.images', [batch, 3, config.imageSize, config.imageSize], 3),
      entry('input.soft_targets', { data: targets, shape: [batch, classes] }),
    ],
  };
  model.dispose();
  return made;
}

function probe(kind: 'linear' | 'attentive'): Made {
  const [steps, batch, tokens, width, classes] = [3, 9, 17, 32, 7];
  const linear = kind === 'linear';
  const sizes = { imageSize: 16, depth: 1, embedDim: width, numHeads: 2, numClasses: classes };
  const config = probeConfig('cae_tiny_patch16_224', sizes);
  const model = linear ? new LinearProbe(config) : new AttentiveProbe(config);
  model.initialize(1);
  const of = parameters(model);
  model.dispose();
  const name = (text: string): string => (linear ? text.replace('head.1.', 'head.') : text);
  return {
    run: linear ? runLinearProbeSteps : runAttentiveProbeSteps,
    config: { embed_dim: width, num_heads: 2, num_classes: classes, lr: [0.1, 0.2, 0.1], weight_decay: 0.01 },
    entries: [
      ...of.map((parameter) => ({ ...parameter, name: name(parameter.name) })),
      linear
        ? numbers('input.features', [steps, batch, width], 2)
        : numbers('input.tokens', [steps, batch, tokens, width], 2),
      labels([steps, batch], classes),
    ],
  };
}

/** A fixture's file whose expectations the CPU computed. */
async function expectedOnCpu(name: string, { run, config, entries }: Made): Promise<SafetensorsFile> {
  const metadata = { config: JSON.stringify(config) };
  const given = join(folder, `${name}-given.safetensors`);
  await writeSafetensors(given, entries, metadata);
  using file = SafetensorsFile.open(given);
  const computed = await run(file, { device: 'cpu', dtype: 'f32' });
  const path = join(folder, `${name}.safetensors`);
  const expected = [...computed].map(([of, value]) => entry(`expect.${of}`, value));
  await writeSafetensors(path, [...entries, ...expected], metadata);
  return SafetensorsFile.open(path);
}

describe('fine-tuning and probing steps on a CUDA device against the CPU', () => {
  it.each([
    { name: 'finetune', make: () => finetune(true), tensors: 80 },
    { name: 'finetune by the cls token', make: () => finetune(false), tensors: 80 },
    { name: 'linear', make: () => probe('linear'), tensors: 6 },
    { name: 'attentive', make: () => probe('attentive'), tensors: 30 },
  ])('$name: all tensors within 1e-4 in fp32, logits and losses within 2e-2 in half formats', async (of) => {
    const device = defaultDevice();
    setDefaultDevice('cpu');
    const made = of.make();
    using file = await expectedOnCpu(of.name, made);
    setDefaultDevice(device);
    const exact = compareWithFixture(file, await made.run(file, { device, dtype: 'f32' }), tolerances.fp32);
    expect(exact.length).toBeGreaterThanOrEqual(of.tensors);
    expect(exact.filter((c) => !c.passed)).toEqual([]);
    for (const dtype of ['bf16', 'f16'] as const) {
      const half = compareWithFixture(file, await made.run(file, { device, dtype }), tolerances.bf16);
      const compared = half.filter((c) => /^(logits|eval_logits|loss)/.test(c.name));
      expect(compared.length).toBeGreaterThan(1);
      expect(compared.filter((c) => !c.passed)).toEqual([]);
    }
  });
});
