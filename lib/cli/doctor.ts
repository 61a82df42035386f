import { availableParallelism, totalmem } from 'node:os';
import type { Command } from 'commander';
import { machineError, UserError } from '../errors.js';
import type { NativeAddon } from '../native/bindings.js';
import { findDriver } from '../native/cuda-driver.js';
import { type AddonAttempt, nothingLoads, tryAddons } from '../native/find-addon.js';

/** One line of the report. */
function line(name: string, text: string): void {
  process.stdout.write(`${name.padEnd(12)}${text}\n`);
}

/**
 * Prints what this machine offers to the native core. @throws UserError with the command that mends it, where the
 * addon does not load
 */
function doctor(): void {
  line('node', `${process.version} (${process.platform} ${process.arch})`);
  line('memory', `${(totalmem() / 2 ** 30).toFixed(1)} GiB`);
  line('cores', `${availableParallelism()}`);
  line('driver', findDriver() ?? 'no NVIDIA driver was found (libcuda.so.1)');
  const attempts = tryAddons();
  for (const attempt of attempts) line('addon', outcome(attempt));
  const addon = attempts.find((attempt) => attempt.addon !== undefined)?.addon;
  if (addon === undefined) throw new UserError(`the native addon ${nothingLoads(attempts)}`);
  const { oneDnn, cpuArch, cuda, avx2, avx512, avx512Bf16, pairedProducts, threads } = addon.buildInfo();
  line('oneDNN', oneDnn);
  line('cpu', `${cpuArch}; avx2 ${yes(avx2)}, avx512 ${yes(avx512)}, avx512_bf16 ${yes(avx512Bf16)}`);
  line('fp32', pairedProducts ? 'products in pairs of sums' : 'plain products');
  line('threads', `${threads} (--threads changes it)`);
  line('cuda', cuda ?? 'not in this build');
  if (cuda !== null) cudaDevices(addon);
  if (!avx512Bf16) line('bf16', 'this CPU has no AVX512-BF16: --precision bf16 saves memory there, not time');
  if (!avx2) throw new UserError('this CPU has no AVX2, which the native core needs; use another machine');
  line('result', 'ready');
}

/** What came of a place where an addon may be. */
function outcome({ candidate: { name }, addon, reason, fix }: AddonAttempt): string {
  if (addon !== undefined) return `${name} is used`;
  return reason === undefined ? `${name} was not tried: an earlier one loads` : `${name} ${reason}; ${fix}`;
}

/** The devices of the CUDA backend, or why there are none. */
function cudaDevices(addon: NativeAddon): void {
  try {
    for (const [i, { name, capability, memory }] of addon.cudaDevices().entries()) {
      line(`cuda:${i}`, `${name}, compute capability ${capability}, ${(memory / 2 ** 30).toFixed(1)} GiB`);
    }
  } catch (error) {
    line('', machineError(error) ?? (error as Error).message);
  }
}

function yes(has: boolean): string {
  return has ? 'yes' : 'no';
}

/** Adds the command's action. */
export function register(command: Command): void {
  command.action(doctor);
}
