import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliPath, runCli } from './run-cli.js';
import { makeSmallWorld, type SmallWorld } from './small-cli.js';

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
