import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** The folder of golden numbers: `CAE_FIXTURES`, the one in the repository, or one kept beside it. */
export const fixtureFolder = ((): string => {
  const candidates = [
    process.env['CAE_FIXTURES'],
    join(here, 'fixtures'),
    resolve(here, '../../shared/fixtures'),
  ];
  const found = candidates.find((folder) => folder !== undefined && existsSync(folder));
  if (found === undefined) throw new Error('golden fixtures not found: set CAE_FIXTURES to their folder');
  return found;
})();

/** Absolute path of one golden fixture file. */
export function fixture(name: string): string {
  return join(fixtureFolder, name);
}
