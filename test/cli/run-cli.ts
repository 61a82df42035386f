import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** The built command line. */
export const cliPath = join(root, 'dist/cli/main.js');

export interface CliResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `cae-native` as a user does. */
export function runCli(...args: string[]): CliResult {
  return runCliWith({}, ...args);
}

/** The same with these variables in its environment, too. */
export function runCliWith(environment: Record<string, string>, ...args: string[]): CliResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cliPath, ...args], {
    cwd: root,
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}
