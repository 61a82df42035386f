#!/usr/bin/env node
// Images a second of a training loader, normalised pictures in memory included. Prints one JSON line.
//
//   node scripts/bench/loader.mjs FOLDER [--transform pretrain|finetune|none] [--seconds 10] [--num-workers 1]
//        [--batch-size 32] [--color-jitter 0]
//
// pretrain: decode, one random crop, two resizes, mirroring, masks, both views normalised. finetune: decode, one random
// crop, mirroring, RandAugment rand-m9-mstd0.5-inc1, normalised, random erasing 0.25 pixel. none: pretrain's loader
// without normalisation. FOLDER is an image folder (one sub-folder a class); scripts/bench/make_jpegs.py writes one with
// equal files. The peer to compare with is scripts/bench/torch_loader.py on the same folder. `images_per_cpu_s` counts
// the processor time of the whole process, so it holds on a busy machine too. Needs the built package (npm run build).
import { parseArgs } from 'node:util';
import { createFineTuneLoader } from '../../dist/data/classification-loader.js';
import { ImageFolder } from '../../dist/data/image-folder.js';
import { createPretrainLoader } from '../../dist/data/pretrain-transform.js';
import { native } from '../../dist/native/addon.js';
import { ClassificationInput } from '../../dist/training/classification-input.js';
import { dalleNormalization, ImageNormalizer } from '../../dist/training/pretrain.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    transform: { type: 'string', default: 'pretrain' },
    seconds: { type: 'string', default: '10' },
    'num-workers': { type: 'string', default: '1' },
    'batch-size': { type: 'string', default: '32' },
    'color-jitter': { type: 'string', default: '0' },
  },
});
const folder = positionals[0];
const seconds = Number(values.seconds);
const numWorkers = Number(values['num-workers']);
const { transform } = values;
if (folder === undefined || !(seconds > 0) || !['pretrain', 'finetune', 'none'].includes(transform)) {
  console.error(
    'usage: loader.mjs FOLDER [--transform pretrain|finetune|none] [--seconds 10] [--num-workers 1] [--batch-size 32]' +
      ' [--color-jitter 0]',
  );
  process.exit(2);
}

const images = new ImageFolder(folder);
const common = { images, batchSize: Number(values['batch-size']), seed: 0, numWorkers, inputSize: 224 };
const colorJitter = Number(values['color-jitter']);
const half = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };
const imagenet = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

function pretraining() {
  const loader = createPretrainLoader({
    ...common,
    inputFilter: 'bicubic',
    secondInputSize: 112,
    secondFilter: 'lanczos',
    cropMinSize: 0.08,
    cropMaxSize: 1,
    colorJitter,
    mask: { kind: 'block', grid: [14, 14], numMaskPatches: 98 },
  });
  const [patches, tokens] = [new ImageNormalizer(half), new ImageNormalizer(dalleNormalization)];
  const prepare = (batch) => {
    patches.apply(batch.images, batch.size, false).release();
    tokens.apply(batch.tokenizerImages, batch.size, true).release();
  };
  return [loader, transform === 'none' ? () => undefined : prepare];
}

function fineTuning() {
  const loader = createFineTuneLoader({
    ...common,
    aa: 'rand-m9-mstd0.5-inc1',
    colorJitter: 0.4,
    mean: imagenet.mean,
    reprob: 0.25,
  });
  const classes = images.classes.length;
  const input = new ClassificationInput({ normalization: imagenet, seed: 0, classes, smoothing: 0.1 });
  const prepare = (batch) => {
    const { images: pictures, targets } = input.train(batch);
    pictures.release();
    targets.release();
  };
  return [loader, prepare];
}

// One thread normalises: idle ones would spin, and count.
native.setThreads(1);
const [loader, prepare] = transform === 'finetune' ? fineTuning() : pretraining();

async function step() {
  const batch = await loader.next();
  prepare(batch);
  batch.release();
  return batch.size;
}

for (let i = 0; i < 3; i++) await step();
native.synchronize();
const start = performance.now();
const cpu = process.cpuUsage();
let count = 0;
while (performance.now() - start < seconds * 1000) count += await step();
native.synchronize();
const wall = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
loader.close();
const round = (value) => Math.round(value * 100) / 100;
console.log(
  JSON.stringify({
    transform,
    images_per_s: round(count / wall),
    images_per_s_per_worker: round(count / wall / Math.max(1, numWorkers)),
    images_per_cpu_s: round((count * 1e6) / (user + system)),
    num_workers: numWorkers,
    images: count,
    seconds: round(wall),
    peak_mib: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
