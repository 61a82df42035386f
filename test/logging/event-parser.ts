/** An event file taken apart by its specification alone, sharing no code with the writer. */

export interface ParsedEvent {
  wallTime: number;
  step: bigint;
  fileVersion?: string;
  sessionStatus?: bigint;
  values: ParsedValue[];
}

export interface ParsedValue {
  tag: string;
  simpleValue?: number;
  image?: { height: bigint; width: bigint; colorspace: bigint; png: Buffer };
}

/** CRC-32C bit by bit. */
export function referenceCrc32c(data: Uint8Array): number {
  let register = 0xffffffffn;
  for (const byte of data) {
    register ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) {
      const out = register & 1n;
      register >>= 1n;
      if (out === 1n) register ^= 0x82f63b78n;
    }
  }
  return Number(register ^ 0xffffffffn);
}

function masked(data: Uint8Array): number {
  const crc = BigInt(referenceCrc32c(data));
  const rotated = ((crc >> 15n) | (crc << 17n)) & 0xffffffffn;
  return Number((rotated + 0xa282ead8n) & 0xffffffffn);
}

/** Records of a TFRecord file. @throws Error at a record that is cut off or fails a checksum */
export function parseRecords(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    if (file.readUInt32LE(at + 8) !== masked(file.subarray(at, at + 8)))
      throw new Error(`length CRC at ${at}`);
    const data = file.subarray(at + 12, at + 12 + length);
    if (data.length !== length) throw new Error(`record at ${at} is cut off`);
    if (file.readUInt32LE(at + 12 + length) !== masked(data)) throw new Error(`data CRC at ${at}`);
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type Field = { number: number; wire: number; integer: bigint; data: Buffer };

function fields(message: Buffer): Field[] {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const found: Field[] = [];
  while (at < message.length) {
    const tag = Number(varint());
    const field: Field = { number: tag >> 3, wire: tag & 7, integer: 0n, data: Buffer.alloc(0) };
    if (field.wire === 0) field.integer = varint();
    else {
      const length = field.wire === 1 ? 8 : field.wire === 5 ? 4 : Number(varint());
      field.data = message.subarray(at, at + length);
      at += length;
    }
    found.push(field);
  }
  return found;
}

function parseValue(message: Buffer): ParsedValue {
  const value: ParsedValue = { tag: '' };
  for (const { number, data } of fields(message)) {
    if (number === 1) value.tag = data.toString();
    if (number === 2) value.simpleValue = data.readFloatLE();
    if (number === 4) {
      const parts = new Map(fields(data).map((part) => [part.number, part]));
      value.image = {
        height: parts.get(1)!.integer,
        width: parts.get(2)!.integer,
        colorspace: parts.get(3)!.integer,
        png: parts.get(4)!.data,
      };
    }
  }
  return value;
}

/** Events of a whole file. */
export function parseEvents(file: Buffer): ParsedEvent[] {
  return parseRecords(file).map((record) => {
    const event: ParsedEvent = { wallTime: 0, step: 0n, values: [] };
    for (const { number, integer, data } of fields(record)) {
      if (number === 1) event.wallTime = data.readDoubleLE();
      if (number === 2) event.step = integer;
      if (number === 3) event.fileVersion = data.toString();
      if (number === 5) event.values = fields(data).map((value) => parseValue(value.data));
      if (number === 7) event.sessionStatus = fields(data)[0]!.integer;
    }
    return event;
  });
}
