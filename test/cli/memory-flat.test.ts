import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cliPath } from './run-cli.js';
import { makeSmallWorld, type SmallWorld } from './small-cli.js';

/** Steps behind the second look at the memory. With scripts/check-memory-flat.sh 500, of a model of the registry's. */
const long = process.env['CAE_MEMORY_STEPS'];
const steps = Number(long ?? 150);
/** Quick, and small: the run does without V8's optimising compiler, which takes some 4 MiB in the first hundreds of steps. */
const quickModel =
  '--embed_dim 384 --num_heads 4 --decoder_embed_dim 384 --decoder_num_heads 4 --batch_size 4';
/** cae_tiny_patch16_224_8k_vocab as it is, but for the words of the small tokenizer. */
const wholeModel =
  '--input_size 224 --patch_size 16 --second_input_size 112 --embed_dim 192 --depth 12 --num_heads 12 ' +
  '--regressor_depth 4 --decoder_depth 4 --decoder_embed_dim 768 --decoder_num_heads 12 ' +
  '--num_mask_patches 98 --min_mask_patches_per_block 16 --batch_size 2 --threads 2';
const [model, batchSize, node] =
  long === undefined ? [quickModel, 4, ['--max-semi-space-size=1', '--no-opt']] : [wholeModel, 2, []];
const pictures = 80;

let folder: string;
let world: SmallWorld;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  world = await makeSmallWorld(join(folder, 'world'), pictures / 2);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Resident memory of a process [KiB]; undefined when it is gone. */
function residentKib(pid: number): number | undefined {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

it(`after ${steps} steps a run holds at most 2 % more memory than after 50`, {
  timeout: 3_600_000,
}, async () => {
  const out = join(folder, 'run');
  const flags = [...world.flags(out), ...model.split(' '), '--save_ckpt_freq', '1000'];
  const epochs = String(Math.ceil(((steps + 40) * batchSize) / pictures));
  const run = spawn(process.execPath, [...node, cliPath, 'pretrain', ...flags, '--epochs', epochs]);
  let said = '';
  run.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const metrics = join(out, 'metrics.jsonl');
  const samples: { step: number; kib: number }[] = [];
  while (run.exitCode === null) {
    await sleep(10);
    const kib = residentKib(run.pid as number);
    const step = existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0;
    if (kib !== undefined && step > (samples.at(-1)?.step ?? 0)) samples.push({ step, kib });
  }
  expect(run.exitCode, said).toBe(0);
  /** Median of the samples from a step on, of as many steps as given: one sample may fall into a garbage collection. */
  const median = (from: number, steps: number): number => {
    const some = samples.filter(({ step }) => step >= from && step < from + steps).map(({ kib }) => kib);
    expect(some.length).toBeGreaterThan(0);
    return some.sort((a, b) => a - b)[Math.floor(some.length / 2)] as number;
  };
  const [early, late] = [median(50, 30), median(steps, 40)];
  const growth = `${(100 * (late / early - 1)).toFixed(2)} %`;
  console.info(`resident after 50 steps ${early} KiB, after ${steps} ${late} KiB: ${growth} more`);
  expect(late / early).toBeLessThan(1.02);
});
