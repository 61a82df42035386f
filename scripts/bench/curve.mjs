#!/usr/bin/env node
// Loss curves of the same pretraining in fp32, bf16 and fp16, from the same weights and batches: how far the half formats
// lie from fp32. Prints one JSON line; exits with 1 where a curve leaves fp32's by more than 2 % of the first loss, both
// averaged over windows of 20 steps.
// usage: node scripts/bench/curve.mjs [--device cuda] [--model base] [--batch 32] [--steps 200]
//          [--precisions fp32,bf16,fp16] [--dump FILE]
//   --dump FILE   writes weights, batches and the fp32 losses, for torch_curve.py to go the same way
// Pictures are patches of three colours in diagonal stripes, under noise; a token is the colour's number. No stochastic
// depth: PyTorch draws otherwise. Needs the built package (npm run build).
import { parseArgs } from 'node:util';
import { writeSafetensors } from '../../dist/checkpoint/safetensors-writer.js';
import { Cae } from '../../dist/models/cae.js';
import { modelConfig, modelNames } from '../../dist/models/registry.js';
import { native } from '../../dist/native/addon.js';
import { AdamW } from '../../dist/optim/adamw.js';
import { GradientScaler } from '../../dist/optim/gradient-scaler.js';
import { parameterGroups } from '../../dist/optim/parameter-groups.js';
import { setDefaultDevice } from '../../dist/tensor/device.js';
import { Tensor } from '../../dist/tensor/tensor.js';
import { halfNormalization, PretrainTask } from '../../dist/training/pretrain.js';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    model: { type: 'string', default: 'base' },
    batch: { type: 'string', default: '32' },
    steps: { type: 'string', default: '200' },
    precisions: { type: 'string', default: 'fp32,bf16,fp16' },
    dump: { type: 'string' },
  },
});
const [batch, steps] = [Number(values.batch), Number(values.steps)];
const [maskedPatches, different, window, allowed] = [98, 8, 20, 0.02];
const optim = { lr: 1.5e-4, warmup: 10, weight_decay: 0.05, clip_grad: 3 };
const dtypes = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' };

setDefaultDevice(values.device);
const name = modelNames().find((one) => one.split('_')[1] === values.model) ?? values.model;
const config = { ...modelConfig(name), dropPath: 0 };
const grid = config.imageSize / config.patchSize;

/** Whole numbers below `limit`, from a linear congruential generator. */
let state = 1;
function draw(limit) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

function makeBatch() {
  const side = config.imageSize;
  const images = new Uint8Array(batch * side * side * 3);
  const tokenizerImages = new Uint8Array(batch * grid * grid * 3);
  const masks = new Uint8Array(batch * grid * grid);
  for (let b = 0; b < batch; b++) {
    const shift = draw(3);
    const colour = (row, column) => (shift + row + column) % 3;
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const lit = colour(Math.floor(row / config.patchSize), Math.floor(column / config.patchSize));
        const at = ((b * side + row) * side + column) * 3;
        for (let c = 0; c < 3; c++) images[at + c] = (c === lit ? 128 : 0) + draw(128);
      }
    }
    for (let i = 0; i < grid * grid; i++) {
      tokenizerImages[(b * grid * grid + i) * 3 + colour(Math.floor(i / grid), i % grid)] = 255;
    }
    for (let left = maskedPatches; left > 0; ) {
      const at = b * grid * grid + draw(grid * grid);
      left -= 1 - masks[at];
      masks[at] = 1;
    }
  }
  return { images, tokenizerImages, masks, files: [], release: () => undefined };
}
const batches = Array.from({ length: different }, makeBatch);

/** The tokenizer of such pictures: the number of the brightest colour, [B, grid, grid, 3] -> tokens. */
const tokenizer = { encode: (images) => new Tensor(native.argmax(images.handle)) };

async function losses(precision) {
  const model = new Cae(config);
  model.initialize(0);
  const optimizer = new AdamW(parameterGroups(model.namedParameters()));
  const task = new PretrainTask({
    model,
    tokenizer,
    optimizer,
    batches: async function* () {},
    batchSize: batch,
    maskedPatches,
    dtype: dtypes[precision],
    scaler: precision === 'fp16' ? new GradientScaler({ enabled: true, initScale: 1024 }) : undefined,
    seed: 0,
    normalization: halfNormalization,
    tokenizerNormalization: halfNormalization,
    lr: Float64Array.from({ length: steps }, (_, i) => optim.lr * Math.min(1, (i + 1) / optim.warmup)),
    weightDecay: new Float64Array(steps).fill(optim.weight_decay),
    clip: optim.clip_grad,
  });
  const curve = [];
  for (let step = 0; step < steps; step++) {
    const metrics = task.accumulate(batches[step % different], { globalStep: step, part: 0, parts: 1 });
    task.update(step).release();
    curve.push(metrics.loss.item());
    for (const tensor of Object.values(metrics)) tensor.release();
  }
  task.dispose();
  optimizer.dispose();
  model.dispose();
  native.trimMemory(values.device);
  return curve;
}

/** What the peer needs to go the same way. */
async function dump(path, curve) {
  const model = new Cae(config);
  model.initialize(0);
  const entry = (title, dtype, shape, data) => ({
    name: title,
    dtype,
    shape,
    byteLength: data.byteLength,
    read: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
  const entries = [...model.namedParameters()].map(([title, parameter]) =>
    entry(`param.${title}`, 'F32', [...parameter.shape], parameter.dataSync()),
  );
  batches.forEach(({ images, tokenizerImages, masks }, i) => {
    const side = config.imageSize;
    const tokens = Uint8Array.from({ length: batch * grid * grid }, (_, at) =>
      tokenizerImages.subarray(at * 3, at * 3 + 3).indexOf(255),
    );
    entries.push(
      entry(`images.${i}`, 'U8', [batch, side, side, 3], images),
      entry(`masks.${i}`, 'U8', [batch, grid * grid], masks),
      entry(`tokens.${i}`, 'U8', [batch, grid * grid], tokens),
    );
  });
  entries.push(entry('losses', 'F64', [curve.length], Float64Array.from(curve)));
  const sizes = {
    img_size: config.imageSize,
    patch_size: config.patchSize,
    embed_dim: config.embedDim,
    depth: config.depth,
    num_heads: config.numHeads,
    mlp_ratio: config.mlpRatio,
    regressor_depth: config.regressorDepth,
    decoder_depth: config.decoderDepth,
    decoder_embed_dim: config.decoderEmbedDim,
    decoder_num_heads: config.decoderNumHeads,
    decoder_num_classes: config.decoderNumClasses,
    layer_scale_init_value: config.layerScaleInitValue,
    decoder_layer_scale_init_value: config.decoderLayerScaleInitValue,
  };
  const kept = { model: sizes, align_loss_weight: config.alignLossWeight, optim };
  await writeSafetensors(path, entries, { kind: 'loss-curve', config: JSON.stringify(kept) });
  model.dispose();
}

const curves = {};
for (const precision of values.precisions.split(',')) curves[precision] = await losses(precision);
if (values.dump !== undefined) await dump(values.dump, curves.fp32);

const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
const windows = (curve) =>
  Array.from({ length: Math.ceil(steps / window) }, (_, i) =>
    mean(curve.slice(i * window, (i + 1) * window)),
  );
const reference = windows(curves.fp32);
const differences = Object.fromEntries(
  Object.entries(curves).map(([precision, curve]) => [
    precision,
    {
      first: curve[0],
      last: windows(curve).at(-1),
      largest: Math.max(...windows(curve).map((one, i) => Math.abs(one - reference[i]))),
      mean: mean(curve.map((one, i) => Math.abs(one - curves.fp32[i]))),
    },
  ]),
);
const limit = allowed * curves.fp32[0];
const passed = Object.values(differences).every(({ largest }) => largest <= limit);
console.log(
  JSON.stringify({
    device: values.device,
    model: name,
    batch,
    steps,
    window,
    limit,
    passed,
    differences,
    curves,
  }),
);
if (!passed) {
  console.error(`curve: a half format leaves the fp32 curve by more than ${limit.toFixed(3)}`);
  process.exitCode = 1;
}
