import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { afterEach } from 'vitest';
import { UserError } from '../../lib/errors.js';

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A folder of its own for one test, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cae-checkpoint-'));
  made.push(folder);
  return folder;
}

/** Reproducible integers in [0, bound): mulberry32. */
export function seededRandom(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

/** `bytes` after a few random changes: flipped, replaced, removed, inserted, doubled, cut. */
export function mutate(bytes: Uint8Array, random: (bound: number) => number): Uint8Array {
  let out = [...bytes];
  const changes = 1 + random(4);
  for (let i = 0; i < changes && out.length > 0; i++) {
    const at = random(out.length);
    const kind = random(6);
    if (kind === 0) out[at] = (out[at] as number) ^ (1 << random(8));
    else if (kind === 1) out[at] = random(256);
    else if (kind === 2) out.splice(at, 1 + random(4));
    else if (kind === 3) out.splice(at, 0, random(256));
    else if (kind === 4) out.splice(at, 0, ...out.slice(at, at + random(16)));
    else if (random(4) === 0) out = out.slice(0, at);
  }
  return Uint8Array.from(out);
}

/** Runs `action`; returns the message of its UserError, undefined where it succeeds; other errors pass. */
export function userErrorOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (error.message.includes('\n')) throw new Error(`more than one line: ${error.message}`);
    return error.message;
  }
}

/** Concatenates text (as Latin-1), single byte values and arrays. */
export function bytesOf(...parts: readonly (string | number | Uint8Array)[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      parts.map((part) =>
        typeof part === 'string'
          ? Buffer.from(part, 'latin1')
          : typeof part === 'number'
            ? Buffer.of(part)
            : part,
      ),
    ),
  );
}

/** Little-endian integers of 2, 4, 8 bytes. */
export function u16(value: number): Uint8Array {
  return new Uint8Array(new Uint16Array([value]).buffer);
}
export function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
export function u64(value: number | bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
}

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  /** What the directory claims, where it is not the truth. */
  readonly claim?: { size?: number; crc?: number; offset?: number; method?: number; flags?: number };
}

/** A zip archive; with `zip64`, sizes and offsets stand in the 64-bit fields. */
export function makeZip(parts: readonly ZipPart[], zip64 = false): Uint8Array {
  const bodies: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const { name, data, deflate, claim } of parts) {
    const packed = deflate ? deflateRawSync(data) : data;
    const method = deflate ? 8 : 0;
    const body = bytesOf(
      'PK\x03\x04',
      u16(20),
      u16(0),
      u16(method),
      u32(0),
      u32(crc32(data)),
      u32(packed.length),
      u32(data.length),
      u16(name.length),
      u16(0),
      name,
      packed,
    );
    const size = claim?.size ?? data.length;
    const packedSize = deflate ? packed.length : size;
    const at = claim?.offset ?? offset;
    const extra = zip64 ? bytesOf(u16(1), u16(24), u64(size), u64(packedSize), u64(at)) : new Uint8Array(0);
    const narrow = (value: number): Uint8Array => u32(zip64 ? 0xffffffff : value);
    directory.push(
      bytesOf(
        'PK\x01\x02',
        u16(45),
        u16(45),
        u16(claim?.flags ?? 0),
        u16(claim?.method ?? method),
        u32(0),
        u32(claim?.crc ?? crc32(data)),
        narrow(packedSize),
        narrow(size),
        u16(name.length),
        u16(extra.length),
        u16(0),
        u16(0),
        u16(0),
        u32(0),
        narrow(at),
        name,
        extra,
      ),
    );
    bodies.push(body);
    offset += body.length;
  }
  const list = bytesOf(...directory);
  const end64 = zip64
    ? bytesOf(
        'PK\x06\x06',
        u64(44),
        u16(45),
        u16(45),
        u32(0),
        u32(0),
        u64(parts.length),
        u64(parts.length),
        u64(list.length),
        u64(offset),
        'PK\x06\x07',
        u32(0),
        u64(offset + list.length),
        u32(1),
      )
    : new Uint8Array(0);
  const narrow = (value: number): Uint8Array => u32(zip64 ? 0xffffffff : value);
  const end = bytesOf(
    'PK\x05\x06',
    u32(0),
    u16(parts.length),
    u16(parts.length),
    narrow(list.length),
    narrow(offset),
    u16(0),
  );
  return bytesOf(...bodies, list, end64, end);
}
