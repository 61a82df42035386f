import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { cudaDriver, type DriverAnswer, versionText } from './cuda-driver.js';
import {
  cudaMajor,
  installCommand,
  packagedAddon,
  packageName,
  packageRoot,
  Unavailable,
  type Variant,
  variants,
} from './packages.js';

/** One place an addon may be. */
export interface AddonCandidate {
  /** What a person calls it: a package, a path below the package's folder, or the environment variable that names it. */
  readonly name: string;
  /** Of a prebuilt package. */
  readonly variant?: Variant;
  /** What mends a file of it that does not load; default: to build it again. */
  readonly fix?: string;
  /** @returns the addon's file. @throws Unavailable where it is not there, or not for this machine */
  locate(): string;
}

/** What decides between candidates; the defaults are those of the process. */
export interface CandidateOptions {
  env?: NodeJS.ProcessEnv;
  /** folder of this package */
  root?: string;
  /** Asks the driver, through an addon with CUDA, for the CUDA version it supports. */
  driver?(addon: string): DriverAnswer;
}

/**
 * Where addons are looked for, first choice first: the file `CAE_NATIVE_ADDON` or the package of `CAE_NATIVE_VARIANT`,
 * and then no other; else a local build, the CUDA packages that the installed driver can run, the CPU package.
 * @throws UserError for a `CAE_NATIVE_VARIANT` that does not exist
 */
export function addonCandidates(options: CandidateOptions = {}): AddonCandidate[] {
  const { env = process.env, root = packageRoot, driver = cudaDriver } = options;
  const [file, wanted] = [env['CAE_NATIVE_ADDON'] ?? '', env['CAE_NATIVE_VARIANT'] ?? ''];
  if (file !== '') return [named('CAE_NATIVE_ADDON', file)];
  if (wanted !== '') {
    const variant = variants.find((one) => one === wanted);
    if (variant !== undefined) return [packaged(variant, root)];
    throw new UserError(
      `CAE_NATIVE_VARIANT=${wanted} is not known; give one of ${[...variants].reverse().join(', ')}`,
    );
  }
  return [
    built(root, 'Release'),
    built(root, 'Debug'),
    ...variants.map((variant) =>
      variant === 'cpu' ? packaged(variant, root) : driven(variant, root, driver),
    ),
  ];
}

function named(variable: string, file: string): AddonCandidate {
  const fix = `correct or unset ${variable}`;
  return {
    name: `${variable}=${file}`,
    fix,
    locate() {
      if (existsSync(file)) return resolve(file);
      throw new Unavailable('there is no such file', fix, false);
    },
  };
}

function built(root: string, configuration: string): AddonCandidate {
  const name = join('build', configuration, 'cae_native.node');
  return {
    name,
    locate() {
      const file = join(root, name);
      if (existsSync(file)) return file;
      throw new Unavailable('is not built', 'npm run build', false);
    },
  };
}

function packaged(variant: Variant, root: string): AddonCandidate {
  return { name: packageName(variant), variant, locate: () => packagedAddon(variant, root) };
}

/** A CUDA package, if the driver can run it. */
function driven(variant: Variant, root: string, driver: (addon: string) => DriverAnswer): AddonCandidate {
  return {
    name: packageName(variant),
    variant,
    locate() {
      const file = packagedAddon(variant, root);
      const { version, failure } = driver(file);
      if (failure !== undefined) {
        throw new Unavailable(failure, `check nvidia-smi, or set CAE_NATIVE_VARIANT=cpu`);
      }
      if (version === 0) {
        throw new Unavailable('no NVIDIA driver was found', 'install one (nvidia-smi must work)');
      }
      const major = cudaMajor(variant);
      if (version >= 1000 * major) return file;
      const older = variants.find((one) => cudaMajor(one) > 0 && version >= 1000 * cudaMajor(one));
      const other = older === undefined ? '' : `, or ${installCommand(older, root)}`;
      throw new Unavailable(
        `the NVIDIA driver is too old: it supports CUDA ${versionText(version)}, this package needs ${major}.0`,
        `update the driver${other}`,
      );
    },
  };
}
