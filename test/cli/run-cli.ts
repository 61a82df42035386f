import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** The built command line. */
export const cliPath = join(root, 'dist/cli/main.js');

/** What lib/ looks like: as long as that stays, so does what was built of it. */
function sourceStamp(): string {
  const files = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' });
  return JSON.stringify(files.map((file) => [file, statSync(join(root, 'lib', file)).mtimeMs]));
}

/**
 * Translates lib/ to dist/, which the command line runs from. Test files run side by side: one of them builds, the
 * others wait, and nobody builds again under a command that runs.
 */
export function buildCli(): void {
  const stampFile = join(root, 'build/cli-stamp.json');
  const lock = join(root, 'build/cli-lock');
  const isBuilt = (): boolean =>
    existsSync(join(root, 'dist/cli/main.js')) &&
    existsSync(stampFile) &&
    readFileSync(stampFile, 'utf8') === sourceStamp();
  mkdirSync(join(root, 'build'), { recursive: true });
  for (;;) {
    if (isBuilt()) return;
    try {
      mkdirSync(lock);
      break;
    } catch {
      // A run that was killed leaves its lock behind.
      const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > 60_000) rmSync(lock, { recursive: true, force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
  try {
    if (isBuilt()) return;
    const stamp = sourceStamp();
    const compiler = join(root, 'node_modules/.bin/tsc');
    spawnSync(compiler, ['-p', join(root, 'tsconfig.build.json')], { cwd: root });
    writeFileSync(stampFile, stamp);
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
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
