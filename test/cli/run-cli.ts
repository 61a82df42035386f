import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** The built command line. */
export const cliPath = join(root, 'dist/cli/main.js');

/** Translates lib/ to dist/, which the command line runs from. */
export function buildCli(): void {
  const compiler = join(root, 'node_modules/.bin/tsc');
  spawnSync(compiler, ['-p', join(root, 'tsconfig.build.json')], { cwd: root });
}

/** Runs `cae-native` as a user does. */
export function runCli(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cliPath, ...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}
