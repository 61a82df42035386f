import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import { fileError, systemCode } from './file-errors.js';
import { digestFile, type FileDigest } from './file-sink.js';

/** Anything JSON keeps exactly: numbers must be finite (and -0 comes back as 0). */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** File in a checkpoint folder that says what else is in it. */
export const stateFileName = 'state.json';
const format = 'cae-native-checkpoint';
const version = 1;
/** Largest state.json read; it holds numbers and names, never tensors. */
const maxStateBytes = 2 ** 26;

/** What a checkpoint's state.json holds beside the checksums. */
export interface CheckpointState {
  /** Optimizer steps taken since the start of the run. */
  readonly globalStep: number;
  /** Epoch the run was in. */
  readonly epoch: number;
  /** Whatever the run needs to go on: loader position, random streams, schedules, arguments. */
  readonly state: JsonObject;
}

/** state.json, read and found whole. */
export interface CheckpointManifest extends CheckpointState {
  /** Size and checksum of the folder's other files. */
  readonly files: Readonly<Record<string, FileDigest>>;
}

/** SHA-256 over what state.json says, so that a flipped bit in it shows like one in a tensor. */
function contentDigest(manifest: CheckpointManifest): string {
  const { globalStep, epoch, state, files } = manifest;
  return createHash('sha256')
    .update(JSON.stringify([globalStep, epoch, state, files]))
    .digest('hex');
}

/**
 * The text of state.json.
 *
 * @throws Error where the state holds a number JSON would lose (NaN, Infinity): a defect of the caller
 */
export function formatManifest(manifest: CheckpointManifest): string {
  const { globalStep, epoch, state, files } = manifest;
  const fields = { format, version, globalStep, epoch, state, files, sha256: contentDigest(manifest) };
  return `${JSON.stringify(
    fields,
    (key, value: unknown) => {
      if (typeof value === 'number' && !Number.isFinite(value)) {
        throw new Error(`checkpoint state ${key} is ${value}, which JSON cannot keep`);
      }
      return value;
    },
    1,
  )}\n`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isDigest(name: string, value: unknown): boolean {
  const plain = /^[\w][\w.-]*$/.test(name) && name !== stateFileName;
  return (
    plain && isRecord(value) && isCount(value['bytes']) && /^[0-9a-f]{64}$/.test(String(value['sha256']))
  );
}

/**
 * Reads a checkpoint's state.json, without looking at the other files.
 *
 * @throws UserError naming the file: missing, unreadable, of another format version, not as written
 */
export function readManifest(folder: string): CheckpointManifest {
  const path = join(folder, stateFileName);
  const damaged = (why: string): UserError => new UserError(`${path} ${why}; use another checkpoint`);
  let json: unknown;
  try {
    if (statSync(path).size > maxStateBytes) throw damaged('is far too large');
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') throw damaged('is missing');
    if (error instanceof SyntaxError) throw damaged('is not JSON: it was cut off or damaged');
    throw fileError('read', path, error);
  }
  if (!isRecord(json) || json['format'] !== format) throw damaged('is not the state of a checkpoint');
  if (json['version'] !== version) {
    throw damaged(`has format version ${JSON.stringify(json['version'])}, and this program reads ${version}`);
  }
  const { globalStep, epoch, state, files, sha256 } = json;
  if (!isCount(globalStep) || !isCount(epoch) || !isRecord(state) || !isRecord(files)) {
    throw damaged('lacks what a checkpoint’s state must hold');
  }
  if (!Object.entries(files).every(([name, digest]) => isDigest(name, digest))) {
    throw damaged('does not list its files properly');
  }
  const manifest = { globalStep, epoch, state, files } as unknown as CheckpointManifest;
  if (sha256 !== contentDigest(manifest)) throw damaged('does not match its own checksum');
  return manifest;
}

/**
 * Checks a checkpoint completely: state.json, then size and SHA-256 of every file it lists.
 *
 * @returns what state.json holds
 * @throws UserError naming the file that is missing or differs
 */
export async function verifyCheckpoint(folder: string): Promise<CheckpointManifest> {
  const manifest = readManifest(folder);
  const listed = Object.entries(manifest.files);
  // Sizes first: they cost nothing, and a torn copy mostly shows there.
  for (const [name, { bytes }] of listed) {
    const path = join(folder, name);
    let size: number;
    try {
      size = statSync(path).size;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') throw new UserError(`${path} is missing; use another checkpoint`);
      throw fileError('read', path, error);
    }
    if (size !== bytes) {
      throw new UserError(`${path} has ${size} bytes where ${bytes} were saved; use another checkpoint`);
    }
  }
  for (const [name, { sha256 }] of listed) {
    const path = join(folder, name);
    if ((await digestFile(path)).sha256 !== sha256) {
      throw new UserError(`${path} does not match its checksum; use another checkpoint`);
    }
  }
  return manifest;
}
