import { UserError } from '../errors.js';
import { denseByteLength, isStoredDtype, type StoredDtype, storedDtypeBytes } from './dtype.js';

/** Longest header accepted, as in the reference implementation of the format. */
export const maxHeaderBytes = 100_000_000;

/** Bytes of the length field in front of the header. */
export const lengthFieldBytes = 8;

/** One tensor as a header lists it. */
export interface TensorRecord {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** First byte, counted from the end of the header. */
  readonly begin: number;
  /** One past the last byte. */
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: Record<string, string>;
  /** In the order of their bytes in the file. */
  readonly tensors: readonly TensorRecord[];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (!isRecord(value))
    throw new UserError(`${path}: header field __metadata__ is not an object; the file is damaged`);
  // A null prototype, so that a key such as "__proto__" is a key like any other.
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw new UserError(`${path}: metadata ${JSON.stringify(key)} is not a string; the file is damaged`);
    }
    metadata[key] = text;
  }
  return metadata;
}

function parseTensor(path: string, name: string, value: unknown): TensorRecord {
  const fail = (why: string): never => {
    throw new UserError(`${path}: tensor ${JSON.stringify(name)} ${why}; the file is damaged`);
  };
  if (!isRecord(value)) return fail('has no description');
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isStoredDtype(dtype)) {
    throw new UserError(
      `${path}: tensor ${JSON.stringify(name)} has dtype ${shown(dtype)}, which is not supported`,
    );
  }
  if (!Array.isArray(shape)) return fail('has no shape');
  const bytes = denseByteLength(dtype, shape);
  if (bytes === undefined) return fail(`has the impossible shape ${shown(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2) return fail('has no data_offsets');
  const [begin, end] = offsets as unknown[];
  if (!isOffset(begin) || !isOffset(end) || end < begin)
    return fail(`has impossible offsets ${shown(offsets)}`);
  if (end - begin !== bytes) {
    return fail(`takes ${end - begin} bytes where ${dtype} [${shape.join(', ')}] needs ${bytes}`);
  }
  return { name, dtype, shape: shape as number[], begin, end };
}

function isOffset(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'none';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/**
 * Reads a header completely: every tensor's dtype, shape and offsets, and that the tensors tile the data part of
 * the file exactly.
 *
 * @param text the header's bytes, without the length field
 * @param dataBytes bytes of the file after the header
 * @throws UserError naming the file and the tensor
 */
export function parseHeader(path: string, text: Uint8Array, dataBytes: number): SafetensorsHeader {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text));
  } catch (error) {
    throw new UserError(`${path}: the header is not JSON; it is no safetensors file or is damaged`, 1, {
      cause: error,
    });
  }
  if (!isRecord(json)) throw new UserError(`${path}: the header is not a JSON object; the file is damaged`);
  let metadata: Record<string, string> = {};
  const tensors: TensorRecord[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = parseMetadata(path, value);
    else tensors.push(parseTensor(path, name, value));
  }
  // By their bytes, not as listed: JSON.parse moves names such as "0" to the front.
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let reached = 0;
  for (const { name, begin, end } of tensors) {
    if (end > dataBytes) {
      throw new UserError(
        `${path}: tensor ${JSON.stringify(name)} ends at byte ${end} of the data, which has only ${dataBytes}; the file is truncated or damaged`,
      );
    }
    if (begin !== reached) {
      const what =
        begin < reached ? 'overlaps the tensor before it' : `leaves a hole of ${begin - reached} bytes`;
      throw new UserError(`${path}: tensor ${JSON.stringify(name)} ${what}; the file is damaged`);
    }
    reached = end;
  }
  if (reached !== dataBytes) {
    throw new UserError(`${path}: ${dataBytes - reached} bytes follow the last tensor; the file is damaged`);
  }
  return { metadata, tensors };
}

/** What a header says of a tensor to be written. */
export interface TensorDescription {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/**
 * The bytes in front of the tensors: length field and header, padded with spaces to a multiple of 8. The tensors
 * lie in the order given.
 *
 * @throws UserError naming the tensor, for a name given twice or the format's own, a dtype that the format or this
 *   project lacks, an impossible shape, or a size that is not shape × dtype
 */
export function formatHeader(
  path: string,
  tensors: readonly TensorDescription[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  // Joined by hand: an object would move names such as "0" to the front.
  const fields: string[] = [];
  if (metadata !== undefined) {
    for (const [key, text] of Object.entries(metadata)) {
      if (typeof text !== 'string') throw new UserError(`${path}: metadata ${key} must be a string`);
    }
    fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  }
  const names = new Set<string>();
  let reached = 0;
  for (const { name, dtype, shape, byteLength } of tensors) {
    const fail = (why: string): never => {
      throw new UserError(`${path}: tensor ${JSON.stringify(name)}${why}`);
    };
    if (name === '__metadata__') fail(': the name stands for the metadata; give another one');
    if (names.has(name)) fail(' is listed twice');
    names.add(name);
    const known = Object.keys(storedDtypeBytes).join(', ');
    if (!isStoredDtype(dtype))
      fail(` has dtype ${shown(dtype)}, which is not supported; give one of ${known}`);
    const expected = denseByteLength(dtype, shape);
    if (expected === undefined) fail(` has the impossible shape [${shape.join(', ')}]`);
    if (expected !== byteLength) {
      fail(`, ${dtype} [${shape.join(', ')}], needs ${expected} bytes, not ${byteLength}`);
    }
    const end = reached + byteLength;
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [reached, end] })}`);
    reached = end;
  }
  const text = new TextEncoder().encode(`{${fields.join(',')}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > maxHeaderBytes) {
    throw new UserError(
      `${path}: a header of ${padded} bytes passes the format's limit of ${maxHeaderBytes}`,
    );
  }
  const bytes = new Uint8Array(lengthFieldBytes + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, lengthFieldBytes);
  return bytes;
}
