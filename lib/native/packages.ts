import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuHasAvx512 } from './cpu-features.js';

/** The folder of this package, in a checkout or installed. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Prebuilt binaries there are, by the CUDA version they are made with; best first. */
export const variants = ['cuda13', 'cuda12', 'cpu'] as const;
export type Variant = (typeof variants)[number];

/** Why an addon cannot be used, in words that complete "NAME: …", and what mends it. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';

  /**
   * @param reason what is wrong
   * @param fix a command or an action
   * @param installed whether its file is there
   */
  constructor(
    reason: string,
    readonly fix: string,
    readonly installed = true,
  ) {
    super(reason);
  }
}

/** The package that holds a variant's binary. */
export function packageName(variant: Variant): string {
  return `@cae-native/linux-x64-${variant}`;
}

/** The CUDA major version a variant is made with; 0 without CUDA. */
export function cudaMajor(variant: Variant): number {
  return Number(variant.replace(/\D+/, ''));
}

/** Version of the package in `folder`. */
export function versionOf(folder: string): string {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return version;
}

/** The command that installs a variant of this version. */
export function installCommand(variant: Variant, root = packageRoot): string {
  return `npm install ${packageName(variant)}@${versionOf(root)}`;
}

/** Where a package holds a second addon, for CPUs with AVX-512: a path from the first one's folder. */
const avx512Addon = join('avx512', 'cae-native.node');

/**
 * The addon's file in an installed package: of two, the one for CPUs with AVX-512 where this one has it.
 * @param root this package's folder; modules are looked for from there, as Node does
 * @param hasAvx512 asked where there are two
 * @throws Unavailable where the package is not installed, is of another version, or holds nothing for this platform
 */
export function packagedAddon(
  variant: Variant,
  root = packageRoot,
  hasAvx512: () => boolean = cpuHasAvx512,
): string {
  const { platform, arch } = process;
  const require = createRequire(join(root, 'package.json'));
  let folder: string;
  try {
    folder = dirname(require.resolve(`${packageName(variant)}/package.json`));
  } catch {
    const none = `there are no prebuilt binaries for ${platform} on ${arch}`;
    if (platform !== 'linux' || arch !== 'x64') throw new Unavailable(none, 'npm run build', false);
    throw new Unavailable('is not installed', installCommand(variant, root), false);
  }
  const [version, own] = [versionOf(folder), versionOf(root)];
  if (version !== own) {
    throw new Unavailable(`is version ${version}, not ${own}`, installCommand(variant, root));
  }
  const { resolve } = createRequire(import.meta.url)('node-gyp-build') as { resolve(folder: string): string };
  let file: string;
  try {
    file = resolve(folder);
  } catch (error) {
    throw new Unavailable(
      (error as Error).message.split('\n')[0] as string,
      `${installCommand(variant, root)}, or npm run build`,
    );
  }
  // Where the package has none, node-gyp-build looks beside Node's own binary, too.
  if (!file.startsWith(folder) || !existsSync(file)) {
    throw new Unavailable('holds no addon', installCommand(variant, root));
  }
  const wide = join(dirname(file), avx512Addon);
  return existsSync(wide) && hasAvx512() ? wide : file;
}
