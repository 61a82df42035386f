import { UserError } from '../errors.js';
import { storedDtypeBytes } from './dtype.js';
import { type PickleOptions, readPickle } from './pickle.js';
import type { PickleContext, PickleValue } from './pickle-values.js';
import type { PositionedFile } from './positioned-file.js';
import { StorageTable } from './torch-globals.js';

/** The number PyTorch starts such a file with, as a pickle of its own. */
const magicNumber = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;
/** Shortest and longest pickle of the magic number: protocol 4 and 5 put a frame around it. */
const shortestMagic = 15;
const longestMagic = 64;

const noGlobals = (): undefined => undefined;

/** Whether the file starts with the layout's magic number. */
export function isLegacyArchive(file: PositionedFile): boolean {
  if (file.size < shortestMagic) return false;
  const start = file.read(0, Math.min(file.size, longestMagic));
  if (start[0] !== 0x80) return false;
  try {
    return readPickle(start, { source: file.path, findGlobal: noGlobals }).value === magicNumber;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/**
 * Reads the layout of PyTorch before 1.6: five pickles in a row (magic number, protocol, system, the object, keys of
 * the storages), then each storage: its element count as int64, and its bytes.
 *
 * @param maxPickleBytes how far into the file the pickles may reach
 * @throws UserError naming the file
 */
export function readLegacyArchive(
  file: PositionedFile,
  findGlobal: PickleOptions['findGlobal'],
  maxPickleBytes: number,
): PickleValue {
  const { path } = file;
  const window = file.read(0, Math.min(file.size, maxPickleBytes));
  const table = new StorageTable();
  const persistentLoad = (id: PickleValue, context: PickleContext): PickleValue => {
    // A pickled module carries its classes' source code along: ('module', class, file, text).
    if (Array.isArray(id) && id[0] === 'module' && id[1] !== undefined) return id[1];
    return table.request(id, context);
  };
  let offset = 0;
  const next = (options: Partial<PickleOptions> = {}): PickleValue => {
    const { value, end } = readPickle(window, { source: path, findGlobal: noGlobals, ...options, offset });
    offset = end;
    return value;
  };
  next(); // the magic number, seen already
  if (next() !== protocolVersion)
    throw new UserError(`${path}: an unknown version of PyTorch’s old layout; save it again`);
  const system = next();
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw new UserError(`${path}: not written on a little-endian machine; save it again on one`);
  }
  const value = next({ findGlobal, persistentLoad });
  const keys = next();
  if (!Array.isArray(keys)) throw new UserError(`${path}: has no list of storages; the file is damaged`);
  locateStorages(file, table, keys, offset);
  return value;
}

/** Walks the storages behind the pickles, which lie in the order of `keys`. */
function locateStorages(
  file: PositionedFile,
  table: StorageTable,
  keys: readonly PickleValue[],
  from: number,
): void {
  let position = from;
  for (const key of keys) {
    const storage = typeof key === 'string' ? table.storages.get(key) : undefined;
    if (storage === undefined || storage.source !== undefined) {
      throw new UserError(
        `${file.path}: lists a storage twice, or one that nothing refers to; the file is damaged`,
      );
    }
    const { byteLength } = storage;
    const start = position + 8;
    if (start + byteLength > file.size) {
      throw new UserError(
        `${file.path}: storage ${storage.key} of ${byteLength} bytes reaches beyond the end; the file is truncated, copy it again`,
      );
    }
    const count = new DataView(file.read(position, 8).buffer).getBigInt64(0, true);
    if (count !== BigInt(storage.count)) {
      throw new UserError(
        `${file.path}: storage ${storage.key} has ${count} elements where its tensors need ${byteLength / storedDtypeBytes[storage.dtype]}; the file is damaged`,
      );
    }
    storage.source = { size: byteLength, read: (offset, length) => file.read(start + offset, length) };
    position = start + byteLength;
  }
  for (const storage of table.storages.values()) {
    if (storage.source === undefined) {
      throw new UserError(`${file.path}: storage ${storage.key} is not listed; the file is damaged`);
    }
  }
}
