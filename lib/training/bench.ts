import { Cae } from '../models/cae.js';
import type { CaeConfig } from '../models/cae-config.js';
import { native } from '../native/addon.js';
import { AdamW } from '../optim/adamw.js';
import type { GradientScaler } from '../optim/gradient-scaler.js';
import { parameterGroups } from '../optim/parameter-groups.js';
import { keep } from '../tensor/scope.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';
import type { TargetTokenizer } from './pretrain.js';
import { dalleNormalization, halfNormalization, type PretrainBatch, PretrainTask } from './pretrain.js';
import { type BenchNumbers, timeSteps } from './step-timer.js';

export const benchTokenizers = ['none', 'dall-e'] as const;
export type BenchTokenizer = (typeof benchTokenizers)[number];

export interface BenchOptions {
  readonly config: CaeConfig;
  readonly batch: number;
  /** Steps timed, after one that warms up. */
  readonly steps: number;
  readonly dtype: Dtype;
  /** Loss scale of an f16 step. */
  readonly scaler?: GradientScaler | undefined;
  readonly tokenizer: BenchTokenizer;
  readonly maskedPatches: number;
}

/** Random tokens, for timing the model alone. */
function randomTokens(config: CaeConfig, batch: number): TargetTokenizer {
  const count = batch * (config.imageSize / config.patchSize) ** 2;
  const tokens = Int32Array.from({ length: count }, (_, i) => (i * 7919) % config.decoderNumClasses);
  const kept = keep(Tensor.from(tokens, [count]));
  return { encode: () => new Tensor(native.cast(kept.handle, 'i32')) };
}

async function openTokenizer({ tokenizer, config, batch, dtype }: BenchOptions): Promise<TargetTokenizer> {
  if (tokenizer === 'none') return randomTokens(config, batch);
  const { DalleEncoder } = await import('../models/dalle-dvae.js');
  const encoder = new DalleEncoder();
  encoder.initialize(0);
  encoder.encodeIn(dtype);
  return encoder;
}

function randomBatch({ config, batch, maskedPatches }: BenchOptions): PretrainBatch {
  const grid = config.imageSize / config.patchSize;
  // Bytes of a linear congruential generator: pictures need not be good, only not constant.
  let state = 1;
  const bytes = (length: number): Uint8Array =>
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    });
  const masks = new Uint8Array(batch * grid * grid);
  for (let b = 0; b < batch; b++) {
    const start = b * grid * grid;
    for (let i = 0; i < maskedPatches; i++) masks[start + ((i * 2 + b) % (grid * grid))] = 1;
    let missing =
      maskedPatches - masks.subarray(start, start + grid * grid).reduce((sum, one) => sum + one, 0);
    for (let i = start; missing > 0; i++) {
      if (masks[i] === 1) continue;
      masks[i] = 1;
      missing -= 1;
    }
  }
  return {
    images: bytes(batch * config.imageSize ** 2 * 3),
    tokenizerImages: bytes(batch * (grid * 8) ** 2 * 3),
    masks,
    files: [],
    release: () => undefined,
  };
}

/** Times whole training steps (tokenizer, forward, backward, clipping, AdamW) on random weights and pictures. */
export async function runBench(options: BenchOptions): Promise<BenchNumbers> {
  const { config, batch: batchSize, steps, dtype, maskedPatches } = options;
  const model = new Cae(config);
  model.initialize(0);
  const total = steps + 1;
  const batch = randomBatch(options);
  const task = new PretrainTask({
    model,
    tokenizer: await openTokenizer(options),
    optimizer: new AdamW(parameterGroups(model.namedParameters())),
    batches: async function* () {
      for (;;) yield batch;
    },
    batchSize,
    maskedPatches,
    dtype,
    scaler: options.scaler,
    seed: 0,
    normalization: halfNormalization,
    tokenizerNormalization: dalleNormalization,
    lr: new Float64Array(total).fill(1e-4),
    weightDecay: new Float64Array(total).fill(0.05),
    clip: 3,
  });
  return await timeSteps(batchSize, steps, (globalStep) => {
    const metrics = Object.values(task.accumulate(batch, { globalStep, part: 0, parts: 1 }));
    return [...metrics, task.update(globalStep)];
  });
}
