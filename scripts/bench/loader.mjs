#!/usr/bin/env node
// Images a second of the pretraining loader: decode, one random crop, two resizes, mirroring, masks. Prints one JSON line.
//
//   node scripts/bench/loader.mjs FOLDER [--seconds 10] [--num-workers 1] [--batch-size 32] [--color-jitter 0]
//
// FOLDER is an image folder (one sub-folder a class); scripts/bench/make_jpegs.py writes one with equal files. The
// peer to compare with is scripts/bench/torch_loader.py on the same folder. `images_per_cpu_s` counts the processor
// time of the whole process, so it holds on a busy machine too. Needs the built package (npm run build).
import { parseArgs } from 'node:util';
import { ImageFolder } from '../../dist/data/image-folder.js';
import { createPretrainLoader } from '../../dist/data/pretrain-transform.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    'num-workers': { type: 'string', default: '1' },
    'batch-size': { type: 'string', default: '32' },
    'color-jitter': { type: 'string', default: '0' },
  },
});
const folder = positionals[0];
const seconds = Number(values.seconds);
const numWorkers = Number(values['num-workers']);
if (folder === undefined || !(seconds > 0)) {
  console.error(
    'usage: loader.mjs FOLDER [--seconds 10] [--num-workers 1] [--batch-size 32] [--color-jitter 0]',
  );
  process.exit(2);
}

const loader = createPretrainLoader({
  images: new ImageFolder(folder),
  batchSize: Number(values['batch-size']),
  seed: 0,
  numWorkers,
  inputSize: 224,
  inputFilter: 'bicubic',
  secondInputSize: 112,
  secondFilter: 'lanczos',
  cropMinSize: 0.08,
  cropMaxSize: 1,
  colorJitter: Number(values['color-jitter']),
  mask: { kind: 'block', grid: [14, 14], numMaskPatches: 98 },
});

for (let i = 0; i < 3; i++) (await loader.next()).release();
const start = performance.now();
const cpu = process.cpuUsage();
let images = 0;
while (performance.now() - start < seconds * 1000) {
  const batch = await loader.next();
  images += batch.size;
  batch.release();
}
const wall = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
loader.close();
const round = (value) => Math.round(value * 100) / 100;
console.log(
  JSON.stringify({
    images_per_s: round(images / wall),
    images_per_s_per_worker: round(images / wall / Math.max(1, numWorkers)),
    images_per_cpu_s: round((images * 1e6) / (user + system)),
    num_workers: numWorkers,
    images,
    seconds: round(wall),
    peak_mib: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
