import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import { fileError, systemCode } from './file-errors.js';

const separator = '_checkpoint-';

/**
 * Name of a checkpoint's folder: `<expName>_checkpoint-<tag>`.
 *
 * @param tag an epoch, or a word such as "final"; letters, digits, dot, dash, underscore
 * @throws UserError for names that are no plain folder names
 */
export function checkpointName(expName: string, tag: string | number): string {
  checkExpName(expName);
  const text = String(tag);
  if (!isTag(text))
    throw new UserError(`checkpoint tag ${JSON.stringify(text)} must be of letters, digits, ".", "-", "_"`);
  return `${expName}${separator}${text}`;
}

function isTag(text: string): boolean {
  return /^[\w.-]+$/.test(text) && !text.includes(separator);
}

/** Longest name of an experiment: a folder's name has 255 bytes, and a save adds to it. */
const maxExpName = 200;

/** @throws UserError for a name that is no plain folder name, or leaves a checkpoint's no room */
export function checkExpName(expName: string): void {
  if (expName.length > maxExpName) {
    throw new UserError(
      `--exp_name has ${expName.length} characters; give at most ${maxExpName}, which leave room for the rest`,
    );
  }
  if (!/^[\w+=,@%-][\w.+=,@%-]*$/.test(expName)) {
    throw new UserError(
      `--exp_name ${JSON.stringify(expName)} must be a plain name: letters, digits, "_", "-", "."`,
    );
  }
}

/** Tag of a checkpoint's folder, or undefined where the name is not one of this experiment's. */
export function tagOf(expName: string, name: string): string | undefined {
  if (!name.startsWith(`${expName}${separator}`)) return undefined;
  const tag = name.slice(expName.length + separator.length);
  return isTag(tag) ? tag : undefined;
}

/**
 * Why a folder stands beside the checkpoints: `tmp` is being written, `old` was moved aside to be replaced, `del` is
 * being removed.
 */
export type AsideKind = 'tmp' | 'old' | 'del';

/** Name of a folder that stands beside checkpoint `name`, of this process. */
export function asideName(name: string, kind: AsideKind): string {
  return `.${name}.${kind}-${process.pid}`;
}

/** A folder as `asideName` names them. */
export interface Aside {
  readonly folder: string;
  /** Name of the checkpoint it belongs to. */
  readonly name: string;
  readonly kind: AsideKind;
  readonly pid: number;
}

/** What stands in a run's root: checkpoints by name, and folders beside them. */
export interface RootListing {
  readonly names: readonly string[];
  readonly asides: readonly Aside[];
}

/**
 * Lists a run's root. One that does not exist holds nothing.
 *
 * @throws UserError where it cannot be read
 */
export function listRoot(root: string, expName: string): RootListing {
  checkExpName(expName);
  let found: { name: string; folder: boolean }[];
  try {
    found = readdirSync(root, { withFileTypes: true }).map((entry) => ({
      name: entry.name,
      folder: entry.isDirectory() || entry.isSymbolicLink(),
    }));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { names: [], asides: [] };
    throw fileError('list', root, error);
  }
  const names: string[] = [];
  const asides: Aside[] = [];
  for (const { name, folder } of found) {
    if (!folder) continue;
    if (tagOf(expName, name) !== undefined) names.push(name);
    const match = /^\.(.+)\.(tmp|old|del)-(\d{1,10})$/.exec(name);
    if (match === null || tagOf(expName, match[1] as string) === undefined) continue;
    asides.push({
      folder: join(root, name),
      name: match[1] as string,
      kind: match[2] as AsideKind,
      pid: Number(match[3]),
    });
  }
  return { names, asides };
}
