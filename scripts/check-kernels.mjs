// Reads nvcc's resource report from stdin: see check-kernels.sh.
import { readFileSync } from 'node:fs';

/**
 * Kernels that need not be quick: f64 exists for checks of gradients, and random numbers are drawn at the start of a
 * run or a few to a sample; both call the library's double functions, which have stack frames. So has its cosine of
 * large angles, for the noise of erased boxes.
 */
const cold = /double|Draw|finish_scalar|finish_norm|probe_kernel|erase_boxes/;

const kernels = new Map();
let name = '';
let memory = [0, 0];
for (const line of readFileSync(0, 'utf8').split('\n')) {
  const title = /Compiling entry function '(.*)' for/.exec(line);
  if (title) name = title[1];
  const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores/.exec(line);
  if (frame) memory = [Number(frame[1]), Number(frame[2])];
  const used = /Used (\d+) registers(?:.*?(\d+) bytes smem)?/.exec(line);
  if (used && name !== '') {
    kernels.set(name, [Number(used[1]), memory[0], Number(used[2] ?? 0), memory[1]]);
    name = '';
  }
}
if (kernels.size === 0) {
  console.error("check-kernels: nothing of nvcc's report (-Xptxas=-v) is in what was read");
  process.exit(1);
}

const short = (text) =>
  text
    .replaceAll('cae::cuda::', '')
    .replaceAll('(anonymous namespace)::', '')
    .replace(/^void /, '')
    .replace(/\(.*$/s, '');
const families = new Map();
const spilled = [];
for (const [full, [registers, stack, shared, local]] of kernels) {
  const label = short(full);
  const family = label.replace(/<.*$/s, '');
  const known = families.get(family) ?? { count: 0, registers: 0, shared: 0, stack: 0 };
  families.set(family, {
    count: known.count + 1,
    registers: Math.max(known.registers, registers),
    shared: Math.max(known.shared, shared),
    stack: Math.max(known.stack, stack + local),
  });
  if (stack + local > 0 && !cold.test(full))
    spilled.push(`${label}: ${stack} bytes of stack, ${local} of spills`);
}

console.log('kernel                            variants  registers  shared  stack');
for (const [family, { count, registers, shared, stack }] of [...families].sort(([a], [b]) =>
  a < b ? -1 : 1,
)) {
  const columns = [String(count).padStart(8), String(registers).padStart(10), String(shared).padStart(7)];
  console.log(`${family.padEnd(33)} ${columns.join(' ')} ${String(stack).padStart(6)}`);
}
if (spilled.length > 0) {
  for (const line of spilled) console.error(`check-kernels: ${line}`);
  console.error(`check-kernels: ${spilled.length} hot kernels use local memory`);
  process.exit(1);
}
console.log(`check-kernels: ${kernels.size} kernels, none of the hot ones uses local memory`);
