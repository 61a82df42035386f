import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from './run-cli.js';
import { makeSmallWorld, type SmallWorld, startCli } from './small-cli.js';

/** How often the run is killed: a few times by default, more by scripts/check-kill-resume.sh. */
const kills = Number(process.env['CAE_KILLS'] ?? 3);
const seed = Number(process.env['CAE_KILL_SEED'] ?? 1);

let folder: string;
let world: SmallWorld;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  world = await makeSmallWorld(join(folder, 'world'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Forty epochs of four steps, a checkpoint every third step: mostly within an epoch. */
const flags = (out: string): string[] => [
  ...['pretrain', ...world.flags(out), '--epochs', '40', '--save_ckpt_freq', '4'],
  ...['--save_every_steps', '3', '--keep_last', '2'],
];
const finished = (out: string): string => join(out, 'small_checkpoint-39');
const written = (out: string): boolean =>
  existsSync(out) && readdirSync(out).some((name) => name.includes('.tmp-'));

/** Numbers in [0, 1), the same in each run of the test. */
function* draws(): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

/**
 * Runs until it is killed.
 * @param within kill while a checkpoint is being written, not at any moment
 * @param fraction 0 to 1: where in the time that is allowed
 * @returns false where the run ended before
 */
async function runAndKill(out: string, within: boolean, fraction: number): Promise<boolean> {
  const run = startCli(...flags(out));
  let text = '';
  run.stderr?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise<boolean>((resolve, reject) => {
    run.on('exit', (code, signal) => {
      if (signal !== 'SIGKILL' && code !== 0) reject(new Error(`the run failed: ${text}`));
      else resolve(signal !== 'SIGKILL');
    });
  });
  const running = (): boolean => run.exitCode === null && run.signalCode === null;
  // From the first checkpoint of its own on, or from wherever it stands when that takes its time.
  while (running() && !/saved /.test(text) && fraction > 0.1) await sleep(2);
  if (within) {
    while (running() && !written(out)) await sleep(0);
    await sleep(fraction * 8);
  } else {
    await sleep(fraction * 300);
  }
  run.kill('SIGKILL');
  return !(await ended);
}

it(`killed ${kills} times and resumed, a run ends byte for byte as one never interrupted`, {
  timeout: 60_000 + kills * 30_000,
}, async () => {
  const whole = join(folder, 'whole');
  expect(runCli(...flags(whole))).toMatchObject({ status: 0 });
  const random = draws();
  const moments = { withinSave: 0, leftovers: 0, beforeFirst: 0, rounds: 0 };
  const compare = (out: string): void => {
    moments.rounds += 1;
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      const wanted = readFileSync(join(finished(whole), name));
      expect(readFileSync(join(finished(out), name)).equals(wanted), `${out}: ${name}`).toBe(true);
    }
    const epochs = (run: string): string => readFileSync(join(run, 'log.txt'), 'utf8');
    expect(epochs(out)).toBe(epochs(whole));
    expect(readdirSync(out).filter((name) => name.startsWith('.'))).toEqual([]);
  };
  // A run that is through before it was killed often enough has its like started for the rest.
  for (let done = 0, round = 0; done < kills; ) {
    const out = join(folder, `killed-${round}`);
    const within = random.next().value < 0.5;
    if (await runAndKill(out, within, random.next().value)) {
      done += 1;
      if (within) moments.withinSave += 1;
      if (written(out)) moments.leftovers += 1;
      if (!existsSync(out)) moments.beforeFirst += 1;
      if (done < kills) continue;
      const { status, stderr } = runCli(...flags(out));
      expect(status, stderr).toBe(0);
    }
    compare(out);
    round += 1;
  }
  console.info(`killed ${kills} times: ${JSON.stringify(moments)}`);
});
