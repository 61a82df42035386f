// Predicts a step of pretraining CAE or fine-tuning its encoder on a GPU, kernel by kernel, from the bytes each must move
// and the operations it must do: the larger of the two times is a floor. Prints a Markdown table to hold measurements
// against (kernels.mjs measures).
// usage: node scripts/bench/predict-cuda.mjs [--task pretrain|finetune] [--model base|large|tiny] [--batch 256]
//          [--tokenizer] [--bandwidth 4.8] [--rate 790]     with the DALL-E tokenizer; bandwidth in TB/s, rate in bf16 TFLOP/s
import { parseArgs } from 'node:util';
import { models, stepKernels } from './step-kernels.mjs';

const { values } = parseArgs({
  options: {
    task: { type: 'string', default: 'pretrain' },
    model: { type: 'string', default: 'base' },
    batch: { type: 'string', default: '256' },
    tokenizer: { type: 'boolean', default: false },
    bandwidth: { type: 'string', default: '4.8' },
    rate: { type: 'string', default: '790' },
  },
});
const [batch, bandwidth, rate] = [values.batch, values.bandwidth, values.rate].map(Number);

/** Rows of the table by kernel: calls a step, bytes and operations of all of them. */
const kernels = new Map();
for (const { name, bytes, operations: done } of stepKernels(
  values.task,
  models[values.model],
  batch,
  values.tokenizer,
)) {
  const known = kernels.get(name) ?? { calls: 0, bytes: 0, operations: 0, seconds: 0 };
  known.calls += 1;
  known.bytes += bytes;
  known.operations += done;
  known.seconds += Math.max(bytes / (bandwidth * 1e12), done / (rate * 1e12));
  kernels.set(name, known);
}

const total = [...kernels.values()].reduce((sum, { seconds }) => sum + seconds, 0);
const operations = [...kernels.values()].reduce((sum, kernel) => sum + kernel.operations, 0);
console.log('| kernel | calls | GB | GFLOP | ms | share |');
console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
for (const [name, k] of [...kernels].sort(([, a], [, b]) => b.seconds - a.seconds)) {
  const numbers = [(k.bytes / 1e9).toFixed(2), (k.operations / 1e9).toFixed(0), (k.seconds * 1e3).toFixed(2)];
  console.log(
    `| ${name} | ${k.calls} | ${numbers.join(' | ')} | ${((100 * k.seconds) / total).toFixed(1)} % |`,
  );
}
console.log(`| **step** | | | ${(operations / 1e9).toFixed(0)} | ${(total * 1e3).toFixed(1)} | |`);
console.log(
  `\nFloor: ${(total * 1e3).toFixed(1)} ms a step, ${(batch / total).toFixed(0)} images/s${values.task === 'finetune' || values.tokenizer ? '' : ' without the tokenizer'}; ` +
    `${((100 * operations) / total / (rate * 1e12)).toFixed(0)} % of the matrix rate.`,
);
