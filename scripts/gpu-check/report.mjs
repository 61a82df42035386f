// Merges what the parts of gpu-check.sh left in OUT/checks into OUT/results.json and OUT/results.md.
// usage: node scripts/gpu-check/report.mjs OUT DEVICE
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { models, stepKernels } from '../bench/step-kernels.mjs';

const [out = '', device = ''] = process.argv.slice(2);
const folder = join(out, 'checks');

/** The JSON that a log ended with; undefined where its last line in braces is something else. */
function dataOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

const checks = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => {
    const check = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const data = join(folder, file.replace(/json$/, 'data'));
    return check.result === 'left out' ? check : { ...check, data: dataOf(data) };
  });
const find = (pattern) => checks.filter(({ name, data }) => data !== undefined && pattern.test(name));
const number = (value, digits = 1) => (Number.isFinite(value) ? value.toFixed(digits) : '-');
const lines = [`# GPU check`, '', `${device}, ${new Date().toISOString().slice(0, 10)}`];

/** A Markdown table, if there are rows. */
function table(title, columns, rows) {
  if (rows.length === 0) return;
  lines.push('', `## ${title}`, '', `| ${columns.join(' | ')} |`, `|${' --- |'.repeat(columns.length)}`);
  for (const row of rows) lines.push(`| ${row.join(' | ')} |`);
}

table(
  'Checks',
  ['check', 'result', 'seconds'],
  checks.map(({ name, result, seconds, reason }) => [
    name,
    reason ? `${result}: ${reason}` : result,
    seconds,
  ]),
);

// Model FLOP utilisation: docs/benchmarks/cuda-predictions.md has the formula.
const rates = Object.fromEntries(
  find(/^kernels-(tiny|base|large)$/).map(({ data }) => [data.model, data.product_tflops]),
);
function utilisation(model, batch, seconds) {
  if (models[model] === undefined || rates[model] === undefined) return Number.NaN;
  const operations = stepKernels('pretrain', models[model], batch).reduce(
    (sum, one) => sum + one.modelOperations,
    0,
  );
  return (100 * operations) / seconds / (rates[model] * 1e12);
}
const steps = find(/^step-/).map(({ name, data }) => {
  const [, model, batch, tokenizer] = /^step-(\w+)-(\d+)-(dall-e|none)/.exec(name);
  const native = data.native ?? (data.peer === undefined && data.step_s ? data : undefined);
  const full = Object.keys(data.out_of_memory ?? {});
  const shown = (side, numbers, key, digits) =>
    full.includes(side) ? 'out of memory' : number(numbers?.[key], digits);
  return {
    model,
    batch: Number(batch),
    tokenizer,
    form: data.form ?? '-',
    row: [
      shown('native', native, 'images_per_s'),
      shown('torch', data.torch, 'images_per_s'),
      number(data.speedup, 3),
      shown('native', native, 'peak_mib', 0),
      shown('torch', data.torch, 'peak_mib', 0),
      number(data.peak_ratio, 3),
      native ? number(utilisation(model, Number(batch), native.step_s)) : '-',
    ],
  };
});
table(
  'A pretraining step, bf16, beside PyTorch',
  [
    'model',
    'batch',
    'tokenizer',
    "PyTorch's form",
    'images/s',
    'its',
    'speedup',
    'MiB',
    'its',
    'ratio',
    'MFU %',
  ],
  steps
    .sort((a, b) => a.model.localeCompare(b.model) || a.batch - b.batch)
    .map(({ model, batch, tokenizer, form, row }) => [model, batch, tokenizer, form, ...row]),
);
for (const { data } of find(/^kernels-(tiny|base|large)$/)) {
  table(
    `Kernels of ${data.model}, batch ${data.batch}: copies ${number(data.copy_gb_per_s, 0)} GB/s, products ${number(data.product_tflops, 2)} TFLOP/s`,
    ['kernel', 'sizes', 'calls', 'measured ms', 'predicted ms', 'reached'],
    data.kernels.map(({ name, sizes, calls, seconds, predicted, reached }) => [
      name,
      sizes.join(' x '),
      calls,
      number(seconds * 1e3, 4),
      number(predicted * 1e3, 4),
      number(reached, 2),
    ]),
  );
}
for (const { data } of find(/^curves$/)) {
  table(
    `Loss over ${data.steps} steps of ${data.model}, batch ${data.batch}, in windows of ${data.window}`,
    ['precision', 'first', 'last window', 'largest difference to fp32', 'mean difference of a step'],
    Object.entries(data.differences).map(([precision, one]) => [
      precision,
      number(one.first, 4),
      number(one.last, 4),
      number(one.largest, 5),
      number(one.mean, 5),
    ]),
  );
}
for (const { data } of find(/^curve-torch$/)) {
  lines.push(
    '',
    `fp32 beside PyTorch ${data.version}: after ${data.steps} steps the losses differ by ${data.last_difference.toExponential(2)}, at most by ${data.largest_difference.toExponential(2)}.`,
  );
}
for (const { data } of find(/^idle$/)) {
  lines.push(
    '',
    `The GPU is idle for ${number(100 * data.idle_share, 2)} % of a steady step (${data.steps} steps of ${number(data.step_ms, 2)} ms under nsys; longest gap ${number(data.longest_gap_us, 1)} us).`,
  );
}
writeFileSync(join(out, 'results.md'), `${lines.join('\n')}\n`);
writeFileSync(join(out, 'results.json'), `${JSON.stringify({ device, checks }, null, 2)}\n`);
