import { crc32 } from 'node:zlib';
import type { FileSink } from './file-sink.js';

/** PyTorch maps storages into memory, so their bytes start at a multiple of this. */
export const zipAlignment = 64;

const u32Max = 0xffffffff;
const u16Max = 0xffff;
/** Identifier of the extra field that PyTorch pads with. */
const paddingField = 0x4246;
/** 1 January 1980, the earliest date a record can bear: equal contents give equal files. */
const dosDate = 0x21;

interface WrittenRecord {
  readonly name: Buffer;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

/**
 * Writes a zip archive of stored records, each record's bytes starting at a multiple of 64, to a sink. Sizes and
 * offsets of any magnitude: zip64 fields stand where 32 bits do not do, the zip64 end record always, as PyTorch's
 * own writer has it.
 */
export class ZipWriter {
  private readonly records: WrittenRecord[] = [];
  private position = 0;

  constructor(private readonly sink: FileSink) {}

  /** Writes one record. @returns its CRC-32 */
  async add(name: string, bytes: Uint8Array): Promise<number> {
    const record = {
      name: Buffer.from(name, 'utf8'),
      crc: crc32(bytes),
      size: bytes.byteLength,
      offset: this.position,
    };
    await this.write(localHeader(record));
    await this.write(bytes);
    this.records.push(record);
    return record.crc;
  }

  /** Writes the directory; the archive is complete. */
  async finish(): Promise<void> {
    const start = this.position;
    for (const record of this.records) await this.write(centralHeader(record));
    await this.write(endRecords(this.records.length, this.position - start, start));
  }

  private async write(bytes: Uint8Array): Promise<void> {
    await this.sink.write(bytes);
    this.position += bytes.byteLength;
  }
}

/** The zip64 field of the values that pass 32 bits, in their order; empty where none does. */
function wideField(values: readonly number[]): Buffer {
  const wide = values.filter((value) => value >= u32Max);
  if (wide.length === 0) return Buffer.alloc(0);
  const field = Buffer.alloc(4 + 8 * wide.length);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(8 * wide.length, 2);
  wide.forEach((value, i) => {
    field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  });
  return field;
}

function narrow(value: number): number {
  return Math.min(value, u32Max);
}

/** Header in front of a record's bytes, padded by an extra field so that they start aligned. */
function localHeader({ name, crc, size, offset }: WrittenRecord): Buffer {
  // In a local header both sizes are there or none.
  const wide = size >= u32Max ? wideField([size, size]) : Buffer.alloc(0);
  const unpadded = offset + 30 + name.length + wide.length + 4;
  const padding = Buffer.alloc(4 + ((zipAlignment - (unpadded % zipAlignment)) % zipAlignment), 'Z');
  padding.writeUInt16LE(paddingField, 0);
  padding.writeUInt16LE(padding.length - 4, 2);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(wide.length > 0 ? 45 : 0, 4);
  header.writeUInt16LE(dosDate, 12);
  header.writeUInt32LE(crc, 14);
  header.writeUInt32LE(narrow(size), 18);
  header.writeUInt32LE(narrow(size), 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(wide.length + padding.length, 28);
  return Buffer.concat([header, name, wide, padding]);
}

function centralHeader({ name, crc, size, offset }: WrittenRecord): Buffer {
  const wide = wideField([size, size, offset]);
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(wide.length > 0 ? 45 : 0, 6);
  header.writeUInt16LE(dosDate, 14);
  header.writeUInt32LE(crc, 16);
  header.writeUInt32LE(narrow(size), 20);
  header.writeUInt32LE(narrow(size), 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(wide.length, 30);
  header.writeUInt32LE(narrow(offset), 42);
  return Buffer.concat([header, name, wide]);
}

function endRecords(count: number, size: number, start: number): Buffer {
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE(45, 12);
  end64.writeUInt16LE(45, 14);
  end64.writeBigUInt64LE(BigInt(count), 24);
  end64.writeBigUInt64LE(BigInt(count), 32);
  end64.writeBigUInt64LE(BigInt(size), 40);
  end64.writeBigUInt64LE(BigInt(start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(start + size), 8);
  locator.writeUInt32LE(1, 16);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, u16Max), 8);
  end.writeUInt16LE(Math.min(count, u16Max), 10);
  end.writeUInt32LE(narrow(size), 12);
  end.writeUInt32LE(narrow(start), 16);
  return Buffer.concat([end64, locator, end]);
}
