import { crc32, inflateRawSync } from 'node:zlib';
import { UserError } from '../errors.js';
import type { PositionedFile } from './positioned-file.js';

const localSignature = 0x04034b50;
const centralSignature = 0x02014b50;
const endSignature = 0x06054b50;
const zip64EndSignature = 0x06064b50;
const zip64LocatorSignature = 0x07064b50;

/** Largest list of entries read; PyTorch writes about 100 bytes a tensor. */
const maxDirectoryBytes = 2 ** 26;
/** Largest entry inflated in memory; PyTorch itself never deflates. */
const maxInflatedBytes = 2 ** 31 - 1;
const checkChunkBytes = 2 ** 24;

/** A 32-bit field with this value stands for the 64-bit one of the zip64 extra field. */
const u32Max = 0xffffffff;

interface CentralRecord {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packedSize: number;
  readonly size: number;
  readonly localOffset: number;
}

/** One file of a zip archive, read lazily. */
export class ZipEntry {
  private dataStart: number | undefined;
  private checked = false;

  constructor(
    private readonly file: PositionedFile,
    private readonly record: CentralRecord,
    /** Where the next entry, or the directory, starts. */
    private readonly limit: number,
  ) {}

  get name(): string {
    return this.record.name;
  }

  /** Bytes once unpacked. */
  get size(): number {
    return this.record.size;
  }

  /**
   * `length` bytes from `offset`; the entry's checksum is verified before the first are returned.
   *
   * @throws UserError where the range, the headers or the checksum are wrong
   */
  read(offset = 0, length = this.size - offset): Uint8Array {
    return this.file.withOpen(() => {
      if (offset < 0 || length < 0 || offset + length > this.size) {
        throw this.error(`has ${this.size} bytes where ${offset + length} are needed; it is damaged`);
      }
      if (this.record.method === 8) return new Uint8Array(this.inflate().subarray(offset, offset + length));
      const start = this.locate();
      const bytes = this.file.read(start + offset, length);
      if (!this.checked) {
        if (length === this.size) this.verify(crc32(bytes));
        else this.verify(this.scan(start));
      }
      return bytes;
    });
  }

  private error(what: string): UserError {
    return new UserError(`${this.file.path}: record ${JSON.stringify(this.name)} ${what}`);
  }

  /** Start of the data, behind the local header, which must agree with the directory. */
  private locate(): number {
    if (this.dataStart !== undefined) return this.dataStart;
    const { localOffset, packedSize } = this.record;
    const header = this.file.read(localOffset, 30);
    const view = new DataView(header.buffer);
    const nameLength = view.getUint16(26, true);
    const start = localOffset + 30 + nameLength + view.getUint16(28, true);
    if (
      view.getUint32(0, true) !== localSignature ||
      view.getUint16(8, true) !== this.record.method ||
      decodeName(this.file.read(localOffset + 30, nameLength)) !== this.name ||
      start + packedSize > this.limit
    ) {
      throw this.error('does not match the archive’s directory; the file is damaged');
    }
    this.dataStart = start;
    return start;
  }

  private scan(start: number): number {
    let crc = 0;
    for (let at = 0; at < this.size; at += checkChunkBytes) {
      crc = crc32(this.file.read(start + at, Math.min(checkChunkBytes, this.size - at)), crc);
    }
    return crc;
  }

  private inflate(): Uint8Array {
    if (this.size > maxInflatedBytes) throw this.error(`claims ${this.size} bytes, too many to inflate`);
    const packed = this.file.read(this.locate(), this.record.packedSize);
    let bytes: Uint8Array;
    try {
      // The bound stops a small input from becoming a large output; one byte more shows a size that lies.
      bytes = inflateRawSync(packed, { maxOutputLength: this.size + 1 });
    } catch (error) {
      throw new UserError(`${this.error('cannot be inflated; the file is damaged').message}`, 1, {
        cause: error,
      });
    }
    if (bytes.byteLength !== this.size)
      throw this.error('does not inflate to the size it claims; the file is damaged');
    this.verify(crc32(bytes));
    return bytes;
  }

  private verify(crc: number): void {
    if (crc !== this.record.crc) throw this.error('fails its checksum; the file is damaged, copy it again');
    this.checked = true;
  }
}

/** Names as bytes of UTF-8; PyTorch writes no others. */
function decodeName(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Whether the file starts like a zip archive. */
export function looksLikeZip(file: PositionedFile): boolean {
  if (file.size < 4) return false;
  return new DataView(file.read(0, 4).buffer).getUint32(0, true) === localSignature;
}

/**
 * The entries of a zip archive, by name. Only the directory at its end is read; the archive must fill the file.
 *
 * @throws UserError for anything but a whole, unencrypted, single-part archive of stored or deflated entries
 */
export function readZipDirectory(file: PositionedFile): Map<string, ZipEntry> {
  return file.withOpen(() => {
    const { start, size, count } = findDirectory(file);
    const directory = file.read(start, size);
    const records = parseDirectory(file.path, directory, count);
    // Entries must not overlap: a way to make a small file unpack to a huge one.
    const sorted = [...records].sort((a, b) => a.localOffset - b.localOffset);
    const entries = new Map<string, ZipEntry>();
    sorted.forEach((record, index) => {
      const limit = sorted[index + 1]?.localOffset ?? start;
      if (record.localOffset + 30 + record.packedSize > limit) {
        throw damaged(file.path, `record ${JSON.stringify(record.name)} reaches into what follows it`);
      }
      if (entries.has(record.name))
        throw damaged(file.path, `record ${JSON.stringify(record.name)} is listed twice`);
      entries.set(record.name, new ZipEntry(file, record, limit));
    });
    return entries;
  });
}

function damaged(path: string, what: string): UserError {
  return new UserError(`${path}: ${what}; the archive is truncated or damaged, copy it again`);
}

function findDirectory(file: PositionedFile): { start: number; size: number; count: number } {
  const { path } = file;
  const tailLength = Math.min(file.size, 22 + 65535);
  const tailStart = file.size - tailLength;
  const tail = new DataView(file.read(tailStart, tailLength).buffer);
  let at = tailLength - 22;
  // The comment's length must lead exactly to the end of the file, or the signature is chance.
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === endSignature && at + 22 + tail.getUint16(at + 20, true) === tailLength)
  )
    at--;
  if (at < 0) throw damaged(path, 'the zip archive has no end record');
  let count = tail.getUint16(at + 10, true);
  let size = tail.getUint32(at + 12, true);
  let start = tail.getUint32(at + 16, true);
  let directoryEnd = tailStart + at;
  const parts = tail.getUint16(at + 4, true) | tail.getUint16(at + 6, true);
  const locatorAt = at - 20;
  if (locatorAt >= 0 && tail.getUint32(locatorAt, true) === zip64LocatorSignature) {
    const end64At = exact(tail.getBigUint64(locatorAt + 8, true));
    if (end64At + 56 > tailStart + locatorAt) throw damaged(path, 'the zip64 end record is out of place');
    const end64 = new DataView(file.read(end64At, 56).buffer);
    if (end64.getUint32(0, true) !== zip64EndSignature)
      throw damaged(path, 'the zip64 end record is missing');
    count = exact(end64.getBigUint64(32, true));
    size = exact(end64.getBigUint64(40, true));
    start = exact(end64.getBigUint64(48, true));
    directoryEnd = end64At;
  } else if (parts !== 0) {
    throw new UserError(`${path}: it is one part of a split archive; join the parts`);
  }
  if (start + size !== directoryEnd) throw damaged(path, 'the archive’s directory is out of place');
  if (size > maxDirectoryBytes) throw damaged(path, `the archive’s directory claims ${size} bytes`);
  return { start, size, count };
}

/** A 64-bit field as a number; past 2^53 it is larger than any file either way. */
function exact(value: bigint): number {
  return Number(value);
}

function parseDirectory(path: string, directory: Uint8Array, count: number): CentralRecord[] {
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const records: CentralRecord[] = [];
  let at = 0;
  while (at < directory.byteLength) {
    if (at + 46 > directory.byteLength || view.getUint32(at, true) !== centralSignature) {
      throw damaged(path, 'the archive’s directory is unreadable');
    }
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > directory.byteLength) throw damaged(path, 'the archive’s directory is unreadable');
    const name = decodeName(directory.subarray(at + 46, nameEnd));
    const method = view.getUint16(at + 10, true);
    if ((view.getUint16(at + 8, true) & 1) !== 0) {
      throw new UserError(
        `${path}: record ${JSON.stringify(name)} is encrypted; unpack it without a password`,
      );
    }
    if (method !== 0 && method !== 8) {
      throw new UserError(
        `${path}: record ${JSON.stringify(name)} is packed by method ${method}; only stored and deflate are supported`,
      );
    }
    const record = {
      name,
      method,
      crc: view.getUint32(at + 16, true),
      packedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      localOffset: view.getUint32(at + 42, true),
    };
    const widened = widen(path, record, view, nameEnd, extraEnd);
    if (method === 0 && widened.size !== widened.packedSize) {
      throw damaged(path, `record ${JSON.stringify(name)} has two sizes`);
    }
    checkName(path, name);
    records.push(widened);
    at = next;
  }
  if (records.length !== count)
    throw damaged(path, `the archive lists ${records.length} records and claims ${count}`);
  return records;
}

/** Takes the 64-bit values of the zip64 extra field, there for exactly those 32-bit ones that overflow. */
function widen(path: string, record: CentralRecord, view: DataView, from: number, to: number): CentralRecord {
  const wide = [record.size, record.packedSize, record.localOffset];
  if (!wide.includes(u32Max)) return record;
  for (let at = from; at + 4 <= to; ) {
    const end = at + 4 + view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && end <= to) {
      let field = at + 4;
      for (let i = 0; i < wide.length; i++) {
        if (wide[i] !== u32Max || field + 8 > end) continue;
        wide[i] = exact(view.getBigUint64(field, true));
        field += 8;
      }
      const [size, packedSize, localOffset] = wide as [number, number, number];
      return { ...record, size, packedSize, localOffset };
    }
    at = end;
  }
  throw damaged(path, `record ${JSON.stringify(record.name)} lacks its 64-bit sizes`);
}

/** Nothing is ever unpacked to disk; a name that tries to leave its folder still shows a file made to harm. */
function checkName(path: string, name: string): void {
  const parts = name.split('/');
  if (
    name.startsWith('/') ||
    name.includes('\\') ||
    name.includes('\0') ||
    parts.includes('..') ||
    parts.includes('.')
  ) {
    throw new UserError(
      `${path}: record ${JSON.stringify(name)} has a name that leaves its folder; do not trust the file`,
    );
  }
}
