import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliPath, runCli } from './run-cli.js';
import { makeSmallWorld, type SmallWorld, startCli } from './small-cli.js';

let folder: string;
let world: SmallWorld;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
  world = await makeSmallWorld(join(folder, 'world'), 4);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The last line of a run that fails with status 1. */
function refused(...args: string[]): string {
  const { status, stderr } = runCli(...args);
  expect(status, stderr).toBe(1);
  return stderr.trimEnd().split('\n').at(-1)!;
}

describe('an experiment’s name', () => {
  it.each(['a/b', '', 'a b', 'n'.repeat(250)])('%j is refused before the first step', (name) => {
    const out = join(folder, 'named');
    const line = refused('pretrain', ...world.flags(out), '--no_auto_resume', '--exp_name', name);
    expect(line).toMatch(/^cae-native: --exp_name /);
    expect(existsSync(out)).toBe(false);
  });
});

describe('output that nobody reads', () => {
  /** Runs a command line of the shell in which `cae` stands for the program. */
  function shell(script: string, ...args: string[]): { status: number | null; stderr: string } {
    const program = `set -o pipefail; cae() { "$NODE" "$CLI" "$@"; }; ${script}`;
    const env = { ...process.env, NODE: process.execPath, CLI: cliPath };
    return spawnSync('bash', ['-c', program, 'bash', ...args], { env, encoding: 'utf8', timeout: 60_000 });
  }

  it('ends a command that only prints, quietly', () => {
    expect(shell('cae doctor | true')).toMatchObject({ status: 0, stderr: '' });
  });

  it('is no reason for a run to stop', () => {
    const out = join(folder, 'unread');
    const { status } = shell('cae "$@" 2>&1 | true', ...['pretrain', ...world.flags(out), '--epochs', '2']);
    expect(status).toBe(0);
    expect(existsSync(join(out, 'small_checkpoint-1', 'state.json'))).toBe(true);
  });
});

it('two runs in one folder: the second is refused, and a killed one is gone on from', async () => {
  const out = join(folder, 'shared');
  const flags = ['pretrain', ...world.flags(out), '--save_every_steps', '1', '--keep_last', '2'];
  const first = startCli(...flags, '--epochs', '500');
  const ended = new Promise((resolve) => first.on('exit', resolve));
  await new Promise<void>((resolve) => {
    first.stderr?.on('data', (chunk: Buffer) => void (/saved /.test(chunk.toString()) && resolve()));
  });
  expect(refused(...flags, '--exp_name', 'other')).toBe(
    `cae-native: ${out} is in use by process ${first.pid}; wait for it, or choose another --output_dir`,
  );
  first.kill('SIGKILL');
  await ended;
  expect(readdirSync(out)).toContain('.cae-native.lock');
  const { status, stderr } = runCli(...flags, '--epochs', '1');
  expect(status, stderr).toBe(0);
  expect(stderr).toMatch(/resumed from .*small_checkpoint-/);
  expect(readdirSync(out)).not.toContain('.cae-native.lock');
});
