import { type Command, Option } from 'commander';
import { UserError } from '../errors.js';
import { chooseDevice, type DeviceChoice } from '../tensor/device.js';
import { usageExitCode } from './flag-spelling.js';

/** One flag: how its text becomes a value, and the value without it. */
export interface Flag<T> {
  /** What help shows in place of the value; absent for switches. */
  readonly placeholder?: string;
  /** Several values may follow, as in `--opt_betas 0.9 0.95`. */
  readonly variadic?: boolean;
  readonly fallback: T;
  readonly help: string;
  /** @throws UserError naming the flag, the text and what is allowed */
  parse(name: string, text: string, before: T | undefined): T;
}

/** Flags by their name without dashes, in the reference's spelling: `data_path`. */
export type FlagTable = Readonly<Record<string, Flag<unknown>>>;

/** The values of a table's flags. */
export type FlagValues<F extends FlagTable> = {
  -readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
};

/** A command line mistake: one line, exit status 2. */
export function usageError(message: string): UserError {
  return new UserError(message, usageExitCode);
}

/** @throws UserError with the message, a command line mistake, unless the condition holds */
export function wants(condition: boolean, message: string): void {
  if (!condition) throw usageError(message);
}

/** Bounds of a number; both inclusive unless `above` is used. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
  /** Exclusive lower bound. */
  readonly above?: number;
}

function rangeText({ min, max, above }: Range): string {
  const parts = [
    above === undefined ? '' : `above ${above}`,
    min === undefined ? '' : `at least ${min}`,
    max === undefined ? '' : `at most ${max}`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : ` of ${parts.join(' and ')}`;
}

function parseNumber(name: string, text: string, range: Range, whole: boolean): number {
  const kind = whole ? 'a whole number' : 'a number';
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
  const inside =
    Number.isFinite(value) &&
    value >= (range.min ?? Number.NEGATIVE_INFINITY) &&
    value <= (range.max ?? Number.POSITIVE_INFINITY) &&
    value > (range.above ?? Number.NEGATIVE_INFINITY) &&
    (!whole || Number.isSafeInteger(value));
  if (!inside) throw usageError(`--${name} ${text} is not allowed; give ${kind}${rangeText(range)}`);
  return value;
}

/** A finite number. `T` may add null or undefined for "not given". */
export function numberFlag<T extends number | undefined>(
  fallback: T,
  help: string,
  range: Range = {},
): Flag<T | number> {
  return {
    placeholder: 'number',
    fallback,
    help,
    parse: (name, text) => parseNumber(name, text, range, false),
  };
}

/** A whole number. */
export function intFlag<T extends number | undefined>(
  fallback: T,
  help: string,
  range: Range = {},
): Flag<T | number> {
  return { placeholder: 'n', fallback, help, parse: (name, text) => parseNumber(name, text, range, true) };
}

/** Numbers, one after another or separated by commas. */
export function numbersFlag(
  fallback: readonly number[],
  help: string,
  range: Range = {},
): Flag<readonly number[]> {
  return {
    placeholder: 'number',
    variadic: true,
    fallback,
    help,
    parse: (name, text, before) => [
      ...(before === undefined || before === fallback ? [] : before),
      ...text.split(',').map((part) => parseNumber(name, part, range, false)),
    ],
  };
}

/** Any text: a path, a name. */
export function textFlag<T extends string | undefined>(
  fallback: T,
  help: string,
  placeholder = 'path',
): Flag<T | string> {
  return { placeholder, fallback, help, parse: (_name, text) => text };
}

/** One of some words. */
export function choiceFlag<W extends string, T extends W | undefined>(
  words: readonly W[],
  fallback: T,
  help: string,
): Flag<T | W> {
  return {
    placeholder: words.join('|'),
    fallback,
    help,
    parse(name, text) {
      const word = words.find((candidate) => candidate === text);
      if (word === undefined) throw usageError(`--${name} ${text} is not known; choose ${words.join(', ')}`);
      return word;
    },
  };
}

/** Where to compute. */
export function deviceFlag(): Flag<undefined | string> {
  return textFlag(
    undefined,
    'where to compute: cpu, cuda, cuda:N or auto, the default: cuda where it works',
    'device',
  );
}

/**
 * Makes the device of a command line the default one.
 * @returns its name, and what to say of it once nothing can be refused any more
 * @throws UserError where the named device cannot be used
 */
export function pickDevice(named: string | undefined): DeviceChoice {
  try {
    return chooseDevice(named);
  } catch (error) {
    throw error instanceof UserError ? usageError(error.message) : error;
  }
}

/**
 * Makes the device of a command line the default one and says on stderr which it is.
 * @returns its name
 * @throws UserError where the named device cannot be used
 */
export function useDevice(named: string | undefined): string {
  const { device, note } = pickDevice(named);
  if (note !== null) process.stderr.write(`${note}\n`);
  return device;
}

/** On where it is given. */
export function switchFlag(help: string): Flag<boolean> {
  return { fallback: false, help, parse: () => true };
}

/** Adds a table's flags to a command. */
export function addFlags(command: Command, table: FlagTable): Command {
  for (const [name, flag] of Object.entries(table)) {
    const value = flag.placeholder === undefined ? '' : ` <${flag.placeholder}${flag.variadic ? '...' : ''}>`;
    const option = new Option(`--${name}${value}`, flag.help);
    if (flag.placeholder !== undefined) {
      option.argParser((text: string, before: unknown) => flag.parse(name, text, before));
    }
    if (flag.fallback !== undefined && flag.placeholder !== undefined) {
      option.default(flag.fallback, Array.isArray(flag.fallback) ? flag.fallback.join(' ') : undefined);
    }
    command.addOption(option);
  }
  return command;
}

/** The values of a parsed command line, typed by the table. */
export function flagValues<F extends FlagTable>(
  table: F,
  parsed: Readonly<Record<string, unknown>>,
): FlagValues<F> {
  const values = Object.entries(table).map(([name, flag]) => [name, parsed[name] ?? flag.fallback]);
  return Object.fromEntries(values) as FlagValues<F>;
}

/** @throws UserError where a flag without a default was not given */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined || value === '') throw usageError(`--${name} is missing; give it`);
  return value;
}
