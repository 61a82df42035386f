import { createRequire } from 'node:module';
import { UserError } from '../errors.js';
import { type AddonCandidate, addonCandidates } from './addon-candidates.js';
import type { NativeAddon } from './bindings.js';
import { findDriver } from './cuda-driver.js';
import { cudaMajor, installCommand, Unavailable } from './packages.js';

const require = createRequire(import.meta.url);

/** A candidate, and what came of it. */
export interface AddonAttempt {
  readonly candidate: AddonCandidate;
  /** Why it is not the one; absent if it is, or was not tried after another loaded. */
  readonly reason?: string;
  /** What mends that. */
  readonly fix?: string;
  /** Whether its file is there. */
  readonly installed?: boolean;
  readonly addon?: NativeAddon;
}

/** Tries candidates in turn, until one loads; those behind it are left untried. */
export function tryAddons(candidates: readonly AddonCandidate[] = addonCandidates()): AddonAttempt[] {
  // Threads of the native core that wait for work give the core up soon: decoding and JavaScript need it, too.
  process.env['GOMP_SPINCOUNT'] ??= '20000';
  let found = false;
  return candidates.map((candidate) => {
    if (found) return { candidate };
    const attempt = tryAddon(candidate);
    found = attempt.addon !== undefined;
    return attempt;
  });
}

function tryAddon(candidate: AddonCandidate): AddonAttempt {
  try {
    return { candidate, addon: loaded(candidate.locate()) };
  } catch (error) {
    if (error instanceof Unavailable) {
      return { candidate, reason: error.message, fix: error.fix, installed: error.installed };
    }
    const reason = (error as Error).message.split('\n')[0] ?? 'unknown error';
    return { candidate, reason: `does not load: ${reason}`, fix: remedy(reason, candidate), installed: true };
  }
}

/** @throws Error for a file that Node loads and that is something else: without `.node` at its end it runs as JavaScript */
function loaded(file: string): NativeAddon {
  const addon = require(file) as Partial<NativeAddon> | null;
  if (typeof addon?.buildInfo !== 'function') throw new Error('it is no addon of cae-native');
  return addon as NativeAddon;
}

/** What to run for a loader's complaint. */
function remedy(reason: string, { variant, fix = 'npm run build:native' }: AddonCandidate): string {
  if (reason.includes('GLIBC'))
    return 'npm run build, in a checkout on this machine: its system is older than the binary';
  if (variant !== undefined) return `${installCommand(variant)} --force`;
  if (reason.includes('libdnnl')) return 'sudo apt-get install libdnnl2';
  if (reason.includes('libjpeg')) return 'sudo apt-get install libjpeg62-turbo';
  return fix;
}

/** What was loaded, and what was tried for it. */
export interface LoadedAddon {
  readonly addon: NativeAddon;
  readonly attempts: readonly AddonAttempt[];
}

/**
 * Loads the first addon that can be.
 * @throws UserError one line: every candidate, why it is not the one, and what mends it
 */
export function loadAddon(candidates?: readonly AddonCandidate[]): LoadedAddon {
  const attempts = tryAddons(candidates);
  const addon = attempts.find((attempt) => attempt.addon !== undefined)?.addon;
  if (addon !== undefined) return { addon, attempts };
  throw new UserError(`the native addon ${nothingLoads(attempts)}`);
}

/** Completes "the native addon …" where no candidate loaded. */
export function nothingLoads(attempts: readonly AddonAttempt[]): string {
  const verb = attempts.some(({ installed }) => installed === true) ? 'cannot load' : 'is missing';
  return `${verb}: ${attempts.map(sentence).join('; ')}`;
}

function sentence({ candidate, reason, fix }: AddonAttempt): string {
  return `${candidate.name} ${reason} (${fix})`;
}

/**
 * Why the addon that was loaded has no CUDA, and what mends it.
 * @returns null where nobody could expect it to: no package with CUDA is installed
 */
export function whyWithoutCuda(attempts: readonly AddonAttempt[]): string | null {
  const refused = attempts.find(
    ({ candidate: { variant = 'cpu' }, installed }) => installed === true && cudaMajor(variant) > 0,
  );
  if (refused === undefined) return null;
  return `${refused.reason} (for ${refused.candidate.name}); ${refused.fix}, or use --device cpu`;
}

/** How to come by an addon with CUDA, for who asks for it without one. */
export function howToGetCuda(attempts: readonly AddonAttempt[]): string {
  const variant = attempts.find(({ addon }) => addon !== undefined)?.candidate.variant;
  const chosen = process.env['CAE_NATIVE_VARIANT'] ?? '';
  const ways = [
    ...(findDriver() === undefined ? ['install the NVIDIA driver'] : []),
    ...(chosen === '' ? [] : ['unset CAE_NATIVE_VARIANT']),
    variant === undefined ? 'build with -DCAE_CUDA=ON' : installCommand('cuda13'),
  ];
  return `this build has no CUDA backend; use --device cpu, or ${ways.join(' and ')}`;
}
