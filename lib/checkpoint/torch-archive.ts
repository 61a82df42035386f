import { UserError } from '../errors.js';
import { readPickle } from './pickle.js';
import type { PickleContext, PickleValue } from './pickle-values.js';
import { PositionedFile } from './positioned-file.js';
import { findTorchGlobal, StorageTable } from './torch-globals.js';
import { isLegacyArchive, readLegacyArchive } from './torch-legacy.js';
import { looksLikeZip, readZipDirectory, type ZipEntry } from './zip.js';

/** Largest pickle read; the tensors lie outside it, so that of a large model takes a few hundred KiB. */
export const maxPickleBytes = 2 ** 26;

/** How to read an archive. */
export interface TorchArchiveOptions {
  /**
   * Whether a pickled model (`torch.save(module)`) is read: its classes become inert `PickledObject` records.
   * Default false: only tensors and plain data.
   */
  readonly allowModules?: boolean;
}

/**
 * Reads a file written by `torch.save`, or a TorchScript archive, in either layout (zip, or the one before
 * PyTorch 1.6), without running anything it names. Tensors are `TorchTensor` records whose bytes are read later.
 *
 * @returns the saved object; `stateDictOf` and `moduleStateDict` find the tensors in it
 * @throws UserError naming the file: neither layout, truncated, damaged, a class that is not allowed
 */
export function readTorchArchive(path: string, options: TorchArchiveOptions = {}): PickleValue {
  const file = new PositionedFile(path);
  const findGlobal = findTorchGlobal(options.allowModules ?? false);
  return file.withOpen(() => {
    if (looksLikeZip(file)) return readZipArchive(file, findGlobal);
    if (isLegacyArchive(file)) return readLegacyArchive(file, findGlobal, maxPickleBytes);
    throw new UserError(
      `${path}: neither a zip archive nor a pickle of PyTorch’s; name a file that torch.save wrote`,
    );
  });
}

function readZipArchive(file: PositionedFile, findGlobal: ReturnType<typeof findTorchGlobal>): PickleValue {
  const entries = readZipDirectory(file);
  const { prefix, pickle } = findPickle(file.path, entries);
  const order = entries.get(`${prefix}byteorder`);
  if (order !== undefined && order.size <= 16 && Buffer.from(order.read()).toString() !== 'little') {
    throw new UserError(
      `${file.path}: written on a big-endian machine; save it again on a little-endian one`,
    );
  }
  if (pickle.size > maxPickleBytes) {
    throw new UserError(
      `${file.path}: its pickle takes ${pickle.size} bytes, more than any checkpoint needs`,
    );
  }
  const table = new StorageTable();
  const persistentLoad = (id: PickleValue, context: PickleContext): PickleValue => {
    const view = table.request(id, context);
    const { storage } = view;
    if (storage.source !== undefined) return view;
    const entry = entries.get(`${prefix}data/${storage.key}`);
    if (entry === undefined)
      throw context.error(`record data/${storage.key} is missing; the file is damaged`);
    if (entry.size < storage.byteLength) {
      throw context.error(
        `record data/${storage.key} has ${entry.size} bytes where ${storage.byteLength} are needed; the file is damaged`,
      );
    }
    storage.source = entry;
    return view;
  };
  return readPickle(pickle.read(), { source: file.path, findGlobal, persistentLoad }).value;
}

/** The record `data.pkl`, and the folder it is in, which PyTorch names after the file. */
function findPickle(
  path: string,
  entries: ReadonlyMap<string, ZipEntry>,
): { prefix: string; pickle: ZipEntry } {
  for (const [name, pickle] of entries) {
    const match = /^([^/]+\/)?data\.pkl$/.exec(name);
    if (match !== null) return { prefix: match[1] ?? '', pickle };
  }
  throw new UserError(`${path}: a zip archive without data.pkl; name a file that torch.save wrote`);
}
