import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../errors.js';
import type { NativeAddon } from './bindings.js';

const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const require = createRequire(import.meta.url);

/** One place an addon may be, and what came of loading it. */
export interface AddonCandidate {
  path: string;
  found: boolean;
  /** Why it did not load; absent if it did or was not there. */
  error?: string;
  addon?: NativeAddon;
}

/** Where addons are looked for, first choice first: `CAE_NATIVE_ADDON`, a local build, a prebuilt binary. */
export function addonPaths(): string[] {
  const explicit = process.env['CAE_NATIVE_ADDON'];
  if (explicit !== undefined && explicit !== '') return [explicit];
  return [
    join(packageRoot, 'build', 'Release', 'cae_native.node'),
    join(packageRoot, 'build', 'Debug', 'cae_native.node'),
    join(packageRoot, 'prebuilds', `${process.platform}-${process.arch}`, 'cae-native.node'),
  ];
}

/** Tries every place in turn; stops at the first that loads. */
export function tryAddons(paths: string[] = addonPaths()): AddonCandidate[] {
  // Threads of the native core that wait for work give the core up soon: decoding and JavaScript need it, too.
  process.env['GOMP_SPINCOUNT'] ??= '20000';
  const tried: AddonCandidate[] = [];
  for (const path of paths) {
    if (!existsSync(path)) {
      tried.push({ path, found: false });
      continue;
    }
    try {
      tried.push({ path, found: true, addon: require(path) as NativeAddon });
      break;
    } catch (error) {
      tried.push({ path, found: true, error: (error as Error).message.split('\n')[0] ?? 'unknown error' });
    }
  }
  return tried;
}

/** What to run for a loader's complaint. */
function remedy(reason: string): string {
  if (reason.includes('libdnnl')) return 'sudo apt-get install libdnnl2';
  if (reason.includes('libjpeg')) return 'sudo apt-get install libjpeg62-turbo';
  return 'npm run build:native';
}

/**
 * The loaded addon.
 * @throws UserError one line: what was found, why it did not load, and what to run
 */
export function loadAddon(paths: string[] = addonPaths()): NativeAddon {
  const tried = tryAddons(paths);
  const loaded = tried.at(-1)?.addon;
  if (loaded !== undefined) return loaded;
  const failures = tried.filter((candidate) => candidate.error !== undefined);
  if (failures.length === 0) {
    throw new UserError(`the native addon is missing (looked for ${paths.join(', ')}); run: npm run build`);
  }
  const reasons = failures.map(({ path, error }) => `${path}: ${error}`).join('; ');
  throw new UserError(`the native addon cannot load (${reasons}); run: ${remedy(reasons)}`);
}
