import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildCli } from '../cli/run-cli.js';

const root = join(import.meta.dirname, '../..');
let folder: string;
beforeAll(() => {
  buildCli();
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('the readers of checkpoints give a result or one line for 5000 mutated files', () => {
  const script = join(root, 'scripts/fuzz/run.mjs');
  const args = [script, '--inputs', '5000', '--seed', '5', '--out', join(folder, 'findings')];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  expect(stdout).toMatch(/\n\d{4} inputs, 0 findings\n$/);
  expect(status).toBe(0);
  const targets = [...stdout.matchAll(/^(.+): 1000 inputs, (\d+) of them read/gm)];
  expect(targets.map(([, name]) => name)).toEqual([
    'pickle',
    'pickle in zip',
    'zip',
    'legacy',
    'safetensors',
  ]);
  // Neither all refused at the first check, nor all read: mutants get far.
  for (const [, , read] of targets) {
    expect(Number(read)).toBeGreaterThan(20);
    expect(Number(read)).toBeLessThan(900);
  }
});
