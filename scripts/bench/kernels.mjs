#!/usr/bin/env node
// Times the product's own ops at the shapes of a step of pretraining or fine-tuning, against what the machine does at best: bytes over the
// measured bandwidth of a copy, operations over the measured rate of a large product, whichever takes longer. Prints a
// Markdown table to stderr and one JSON line. `reached` is predicted over measured time: 1 is the best there is.
// usage: node scripts/bench/kernels.mjs [--device cpu|cuda] [--model base|large|tiny] [--batch 256] [--precision bf16]
//          [--task pretrain|finetune] [--seconds 0.05]     how long each is run at least
// Needs the built package (npm run build).
import { parseArgs } from 'node:util';
import { native } from '../../dist/native/addon.js';
import { kernelOps } from './kernel-ops.mjs';
import { models, stepKernels } from './step-kernels.mjs';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    task: { type: 'string', default: 'pretrain' },
    model: { type: 'string', default: 'base' },
    batch: { type: 'string', default: '256' },
    precision: { type: 'string', default: 'bf16' },
    seconds: { type: 'string', default: '0.05' },
  },
});
const { device } = values;
const [batch, least] = [Number(values.batch), Number(values.seconds)];
const model = models[values.model];
const dtype = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' }[values.precision];
const task = ['pretrain', 'finetune'].find((name) => name === values.task);
if (task === undefined || model === undefined || dtype === undefined || !(batch >= 1) || !(least > 0)) {
  console.error(
    'kernels: --task is pretrain or finetune, --model base, large or tiny, --precision fp32, bf16 or fp16, --batch at least 1, --seconds above 0',
  );
  process.exit(2);
}
// The emulated device of tests is the CPU.
const onGpu = device !== 'cpu' && native.buildInfo().cuda !== 'emulated';

/** Seconds a call: the median of three runs of at least `least` seconds. The inputs take turns, so that none stays in a cache. */
function time(entries) {
  const burst = (calls) => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) entries[i % entries.length].run();
    native.synchronize(device);
    return (performance.now() - start) / 1000;
  };
  burst(entries.length);
  let calls = entries.length;
  let took = burst(calls);
  while (took < least) {
    calls = Math.ceil(calls * Math.min(10, Math.max(1.5, (1.2 * least) / took)));
    took = burst(calls);
  }
  const runs = [took, burst(calls), burst(calls)].map((seconds) => seconds / calls);
  for (const entry of entries) entry.release();
  return runs.sort((a, b) => a - b)[1];
}

/** As many sets of inputs as exceed the last cache four times: 60 MB of an H200. */
function measure(make, bytes) {
  const sets = onGpu ? Math.min(8, Math.max(1, Math.ceil(240e6 / bytes))) : 1;
  return time(Array.from({ length: sets }, make));
}

/** Bytes a second, read and written, of a copy. */
function copyBandwidth() {
  const numbers = onGpu ? 2 ** 28 : 2 ** 24;
  const [x, y] = [0, 1].map(() => native.empty([numbers], 'f32', device));
  for (const handle of [x, y]) native.fill(handle, 1);
  const release = () => {
    for (const handle of [x, y]) native.release(handle);
  };
  const seconds = time([{ run: () => native.copyInto(x, y), release }]);
  return (8 * numbers) / seconds;
}

/** Operations a second of a large product. */
function productRate(ops) {
  const sides = onGpu ? [4096, 8192, 16384] : [1024, 2048];
  const rates = sides.map(
    (n) => (2 * n ** 3) / measure(() => ops['products, forward']([n, n, n]), 6 * n * n),
  );
  return Math.max(...rates);
}

const ops = kernelOps(native, { device, dtype, batch, ...model });
const bandwidth = copyBandwidth();
const rate = productRate(ops);
// A few rows of a fine-tuning step, each a thousandth of it, are in the prediction alone.
const calls = stepKernels(task, model, batch).filter(({ name }) => name in ops);
const rows = new Map();
for (const { name, bytes, operations, sizes } of calls) {
  const key = `${name} ${sizes.join('x')}`;
  const row = rows.get(key) ?? { name, sizes, calls: 0, bytes, operations };
  row.calls += 1;
  rows.set(key, row);
}
const measured = [...rows.values()].map((row) => {
  const seconds = measure(() => ops[row.name](row.sizes), row.bytes);
  const predicted = Math.max(row.bytes / bandwidth, row.operations / rate);
  return { ...row, seconds, predicted, reached: predicted / seconds };
});

const step = measured.reduce((sum, row) => sum + row.calls * row.seconds, 0);
console.error('| kernel | sizes | calls | measured ms | predicted ms | reached | of the step |');
console.error('| --- | --- | ---: | ---: | ---: | ---: | ---: |');
for (const row of measured.sort((a, b) => b.calls * b.seconds - a.calls * a.seconds)) {
  const ms = [row.seconds, row.predicted].map((seconds) => (seconds * 1e3).toFixed(4));
  const share = ((100 * row.calls * row.seconds) / step).toFixed(1);
  console.error(
    `| ${row.name} | ${row.sizes.join(' x ')} | ${row.calls} | ${ms.join(' | ')} | ${row.reached.toFixed(2)} | ${share} % |`,
  );
}
console.error(
  `\ncopies ${(bandwidth / 1e9).toFixed(0)} GB/s, products ${(rate / 1e12).toFixed(2)} TFLOP/s; all calls ${(step * 1e3).toFixed(1)} ms`,
);
const { model: name, precision } = values;
console.log(
  JSON.stringify({
    device,
    model: name,
    batch,
    precision,
    copy_gb_per_s: bandwidth / 1e9,
    product_tflops: rate / 1e12,
    model_tflop: calls.reduce((sum, { modelOperations }) => sum + modelOperations, 0) / 1e12,
    sum_of_kernels_s: step,
    kernels: measured,
  }),
);
