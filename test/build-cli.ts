import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/**
 * Translates lib/ to dist/, which the command line runs from: once, before all tests, since a file that is being
 * written while another test starts the command line would be read in half.
 */
export default function buildCli(): void {
  const root = join(import.meta.dirname, '..');
  const compiler = join(root, 'node_modules/.bin/tsc');
  const { status, stdout } = spawnSync(compiler, ['-p', join(root, 'tsconfig.build.json')], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`lib/ cannot be translated: ${stdout}`);
}
