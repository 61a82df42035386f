import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the system's loader looks for a driver. */
export interface LoaderPath {
  /** its cache; default `/etc/ld.so.cache` */
  cache?: string;
  /** default: those of the loader itself */
  folders?: readonly string[];
  /** default: `LD_LIBRARY_PATH` */
  libraryPath?: string | undefined;
}

const loaderFolders = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];

/** File name of the NVIDIA driver's library; undefined where the system's loader would find none. */
export function findDriver(options: LoaderPath = {}): string | undefined {
  const { cache = '/etc/ld.so.cache', folders = loaderFolders } = options;
  const { libraryPath = process.env['LD_LIBRARY_PATH'] ?? '' } = options;
  const name = 'libcuda.so.1';
  for (const folder of [...libraryPath.split(':').filter((one) => one !== ''), ...folders]) {
    if (existsSync(join(folder, name))) return join(folder, name);
  }
  try {
    // A binary file; among its strings are absolute paths.
    const [path] = /\/[^\0]*\/libcuda\.so\.1(?=\0)/.exec(readFileSync(cache, 'latin1')) ?? [];
    return path !== undefined && existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/** What a probe found. */
export type DriverAnswer =
  /** The CUDA version that the driver supports, as 1000·major + 10·minor; 0 without a driver. */
  | { readonly version: number; readonly failure?: undefined }
  /** Why it could not be found out. */
  | { readonly version?: undefined; readonly failure: string };

/** Where the answer is kept: worker threads and child processes inherit it, and need not ask again. */
const cacheVariable = 'CAE_CUDA_DRIVER';

const probe = 'process.stdout.write(String(require(process.argv[1]).cudaDriver()))';

/** `13.0` of 13000. */
export function versionText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

/**
 * Asks the driver which CUDA version it supports, through an addon with CUDA, in a child process: a driver that
 * crashes takes that one along, not us. Nothing is started where there is no driver, or where the answer is known.
 * @param addon file of an addon
 */
export function cudaDriver(addon: string, options: LoaderPath & { timeoutMs?: number } = {}): DriverAnswer {
  const known = process.env[cacheVariable];
  if (known !== undefined && /^\d+$/.test(known)) return { version: Number(known) };
  if (findDriver(options) === undefined) return { version: 0 };
  const { timeoutMs = 10_000 } = options;
  // Without what loads code or a debugger into every process.
  const { NODE_OPTIONS: _left, ...env } = process.env;
  const child = spawnSync(process.execPath, ['-e', probe, addon], {
    encoding: 'utf8',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  if (child.error !== undefined && (child.error as NodeJS.ErrnoException).code === 'ETIMEDOUT') {
    return { failure: `the NVIDIA driver did not answer within ${timeoutMs / 1000} s` };
  }
  if (child.error !== undefined) return { failure: `the driver cannot be probed: ${child.error.message}` };
  if (child.signal !== null) return { failure: `the probe of the NVIDIA driver ended with ${child.signal}` };
  if (child.status !== 0 || !/^\d+$/.test(child.stdout)) {
    const said = child.stderr.split('\n').find((line) => /^\w*Error: /.test(line));
    return { failure: said?.replace(/^\w*Error: /, '') ?? `the probe ended with status ${child.status}` };
  }
  process.env[cacheVariable] = child.stdout;
  return { version: Number(child.stdout) };
}
