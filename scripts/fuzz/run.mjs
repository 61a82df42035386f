// Feeds the readers of checkpoints mutated files, in this process. A reader may give a result or one UserError of one
// line; any other exception, more than a second of computing, or half a GiB of memory for one input is a finding.
//
//   npm run build:ts && node scripts/fuzz/run.mjs [--inputs 100000] [--seed 1] [--target NAME] [--out FOLDER]
//
// Inputs are spread evenly over the targets. Exits with 1 where there are findings; their inputs are kept in FOLDER.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mutate, seededRandom } from './mutate.mjs';
import { makeTargets } from './targets.mjs';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    out: { type: 'string', default: 'fuzz-findings' },
  },
});
const mostSeconds = 1;
const mostBytes = 2 ** 29;

/** Runs one input. @returns what is wrong with that, undefined where nothing is, and whether it was read */
function attempt(target, bytes, random) {
  const memory = process.memoryUsage.rss();
  const before = process.cpuUsage();
  let problem;
  let read = true;
  try {
    target.run(bytes, random);
  } catch (error) {
    read = false;
    if (error.name !== 'UserError') problem = `threw ${error.stack}`;
    else if (error.message.includes('\n'))
      problem = `a message of several lines: ${JSON.stringify(error.message)}`;
  }
  const { user, system } = process.cpuUsage(before);
  const grown = process.memoryUsage.rss() - memory;
  if ((user + system) / 1e6 > mostSeconds) problem ??= `took ${(user + system) / 1e6} s`;
  if (grown > mostBytes) problem ??= `took ${Math.round(grown / 2 ** 20)} MiB`;
  return { problem, read };
}

let findings = 0;
function report(name, bytes, problem) {
  findings++;
  mkdirSync(values.out, { recursive: true });
  const file = join(values.out, `${name.replaceAll(' ', '-')}-${findings}`);
  writeFileSync(file, bytes);
  process.stdout.write(`FINDING ${file}: ${problem}\n`);
}

const targets = Object.entries(await makeTargets()).filter(([name]) => (values.target ?? name) === name);
let total = 0;
for (const [name, target] of targets) {
  const random = seededRandom(Number(values.seed) * 7919 + name.length);
  const count = Math.ceil(Number(values.inputs) / targets.length);
  const start = performance.now();
  // The seeds as they are, then mutants; those that are still read become seeds, so that changes add up.
  const pool = [...target.seeds];
  let accepted = 0;
  for (let i = 0; i < count && findings < 20; i++) {
    // Half of the time from the beginning: what is read still may have lost all that is worth reading.
    const seed = random(2) === 0 ? target.seeds[random(target.seeds.length)] : pool[random(pool.length)];
    const bytes =
      i < target.seeds.length
        ? Buffer.from(target.seeds[i])
        : mutate(seed, random, target.words, pool[random(pool.length)]);
    if (bytes.length > 2 ** 16) continue;
    const kept = Buffer.from(bytes);
    const { problem, read } = attempt(target, bytes, random);
    if (problem !== undefined) report(name, kept, problem);
    if (read) {
      accepted++;
      if (i >= target.seeds.length && random(8) === 0) {
        const at = target.seeds.length + random(64);
        pool[Math.min(at, pool.length)] = kept;
      }
    }
    total++;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`${name}: ${count} inputs, ${accepted} of them read, ${seconds} s\n`);
}
if (existsSync('pwned')) {
  findings++;
  process.stdout.write('FINDING a command of a pickle was run\n');
}
process.stdout.write(`${total} inputs, ${findings} findings\n`);
process.exit(findings > 0 ? 1 : 0);
