// The share of a steady step in which the GPU does nothing, from nsys's trace of what ran on it (cuda_gpu_trace as CSV):
// the gaps between kernels and copies, from the first weight update after warming up to the last. Prints one JSON line.
// usage: node scripts/gpu-check/idle.mjs TRACE.csv
import { readFileSync } from 'node:fs';

const lines = readFileSync(process.argv[2], 'utf8').split('\n');
const top = lines.findIndex((line) => line.startsWith('Start (ns),Duration (ns),'));
if (top < 0) {
  console.error(
    'idle: this is no trace of cuda_gpu_trace as CSV: no line begins with Start (ns),Duration (ns)',
  );
  process.exit(1);
}
// The name comes last and may hold commas, in quotes.
const fields = lines[top].split(',').length;
const spans = [];
for (const line of lines.slice(top + 1)) {
  const cells = line.split(',');
  if (cells.length < fields) continue;
  const [start, length] = [Number(cells[0]), Number(cells[1])];
  spans.push({ start, end: start + length, name: cells.slice(fields - 1).join(',') });
}
spans.sort((a, b) => a.start - b.start);
const updates = spans.filter(({ name }) => name.includes('adamw_kernel'));
// The first steps record and warm up.
const [first, last] = [updates[2], updates.at(-1)];
if (first === undefined || last === first) {
  console.error(`idle: ${updates.length} weight updates in the trace; at least four steps are needed`);
  process.exit(1);
}
let busy = 0;
let reached = first.end;
let longest = 0;
for (const { start, end } of spans) {
  if (start < first.end || start >= last.end) continue;
  longest = Math.max(longest, start - reached);
  busy += Math.max(0, end - Math.max(start, reached));
  reached = Math.max(reached, end);
}
const elapsed = last.end - first.end;
console.log(
  JSON.stringify({
    idle_share: 1 - busy / elapsed,
    longest_gap_us: longest / 1e3,
    steps: updates.length - 3,
    step_ms: elapsed / 1e6 / (updates.length - 3),
  }),
);
