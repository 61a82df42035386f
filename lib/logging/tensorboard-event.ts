import { ProtobufMessage } from '../protobuf.js';
import { maskedCrc32c } from './crc32c.js';

/** A PNG picture and its size in pixels. */
export interface PngImage {
  readonly width: number;
  readonly height: number;
  /** The file's bytes. */
  readonly png: Uint8Array;
}

/** tensorflow.SessionLog.SessionStatus.START */
const sessionStart = 1;

/** tensorflow.Event with its `wall_time` [s since 1970] and, where it has one, `step`. */
function event(wallTime: number, step?: number): ProtobufMessage {
  const message = new ProtobufMessage().double(1, wallTime);
  return step === undefined ? message : message.varint(2, step);
}

/** First event of every file. */
export function versionEvent(wallTime: number): Buffer {
  return event(wallTime).string(3, 'brain.Event:2').encode();
}

/** Tells readers that a run starts anew at `step`: what earlier files hold from there on no longer counts. */
export function restartEvent(wallTime: number, step: number): Buffer {
  return event(wallTime, step).message(7, new ProtobufMessage().varint(1, sessionStart)).encode();
}

/** Scalars of one step as `simple_value` summaries, in the order of `values`. */
export function scalarEvent(
  wallTime: number,
  step: number,
  values: Readonly<Record<string, number>>,
): Buffer {
  const summary = new ProtobufMessage();
  for (const [tag, value] of Object.entries(values)) {
    summary.message(1, new ProtobufMessage().string(1, tag).float(2, value));
  }
  return event(wallTime, step).message(5, summary).encode();
}

/** One RGB picture. */
export function imageEvent(wallTime: number, step: number, tag: string, image: PngImage): Buffer {
  const picture = new ProtobufMessage()
    .varint(1, image.height)
    .varint(2, image.width)
    .varint(3, 3)
    .bytes(4, image.png);
  const value = new ProtobufMessage().string(1, tag).message(4, picture);
  return event(wallTime, step).message(5, new ProtobufMessage().message(1, value)).encode();
}

/** A TFRecord: length (u64), its masked CRC, the data, its masked CRC; little endian. */
export function tfRecord(data: Uint8Array): Buffer {
  const record = Buffer.alloc(12 + data.byteLength + 4);
  record.writeBigUInt64LE(BigInt(data.byteLength), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.byteLength);
  return record;
}
