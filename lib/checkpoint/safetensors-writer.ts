import { UserError } from '../errors.js';
import { type FileDigest, writeFileWhole } from './file-sink.js';
import { formatHeader, type TensorDescription } from './safetensors-header.js';

/** A tensor to be written. */
export interface SafetensorsEntry extends TensorDescription {
  /** Its bytes: dense, C order, little-endian; asked for once, when its turn has come. */
  read(): Promise<Uint8Array> | Uint8Array;
}

/**
 * Writes a safetensors file, one tensor at a time, in the order given: at no time is more than one tensor held.
 * The file appears under its name only when complete and synced; one that was there is then replaced.
 *
 * @param metadata key-value strings for the header
 * @returns size and SHA-256 of the file, computed while writing
 * @throws UserError for a tensor whose bytes do not match its description, a full disk, a folder that cannot be
 *   written; no partial file is left
 */
export async function writeSafetensors(
  path: string,
  entries: readonly SafetensorsEntry[],
  metadata?: Readonly<Record<string, string>>,
): Promise<FileDigest> {
  const header = formatHeader(path, entries, metadata);
  return await writeFileWhole(path, async (sink) => {
    await sink.write(header);
    for (const entry of entries) {
      const bytes = await entry.read();
      if (bytes.byteLength !== entry.byteLength) {
        throw new UserError(
          `${path}: tensor ${JSON.stringify(entry.name)} gave ${bytes.byteLength} bytes where ${entry.byteLength} were announced`,
        );
      }
      await sink.write(bytes);
    }
  });
}
