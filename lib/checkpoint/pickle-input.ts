import type { PickleContext } from './pickle-values.js';

/** Longest text line (names of globals, decimal integers). */
const maxLineBytes = 4096;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const latin1 = new TextDecoder('latin1');

/** The bytes of a pickle, read in order; no read goes past their end. */
export class PickleInput {
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly context: PickleContext,
    /** Next byte. */
    public position: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Moves on by `length` bytes and returns where they start. @throws UserError where fewer are left */
  skip(length: number): number {
    const start = this.position;
    const left = this.bytes.byteLength - start;
    if (length > left) {
      throw this.context.error(
        `its pickle needs ${length} more bytes at byte ${start} but only ${left} are there; it is truncated or damaged`,
      );
    }
    this.position = start + length;
    return start;
  }

  uint8(): number {
    return this.view.getUint8(this.skip(1));
  }

  uint16(): number {
    return this.view.getUint16(this.skip(2), true);
  }

  int32(): number {
    return this.view.getInt32(this.skip(4), true);
  }

  uint32(): number {
    return this.view.getUint32(this.skip(4), true);
  }

  /** A length of 8 bytes; beyond 2^53 inexact, which any input is too short for anyway. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.skip(8), true));
  }

  float64(): number {
    return this.view.getFloat64(this.skip(8), false);
  }

  /** A copy of the next `length` bytes. */
  take(length: number): Uint8Array {
    const start = this.skip(length);
    // Not slice(): a Buffer's shares memory.
    return new Uint8Array(this.bytes.subarray(start, start + length));
  }

  utf8(length: number): string {
    const start = this.skip(length);
    try {
      return strictUtf8.decode(this.bytes.subarray(start, start + length));
    } catch (error) {
      throw this.context.error(
        `its pickle holds text at byte ${start} that is not UTF-8; it is damaged`,
        error,
      );
    }
  }

  /** A Python 2 string: UTF-8 where it is, else taken byte by byte. */
  byteString(length: number): string {
    const start = this.skip(length);
    const part = this.bytes.subarray(start, start + length);
    try {
      return strictUtf8.decode(part);
    } catch {
      return latin1.decode(part);
    }
  }

  /** Text up to the next newline, which is consumed. */
  line(): string {
    const start = this.position;
    const end = this.bytes.subarray(start, start + maxLineBytes).indexOf(0x0a);
    if (end < 0)
      throw this.context.error(
        `its pickle has no end of line after byte ${start}; it is truncated or damaged`,
      );
    const text = this.utf8(end);
    this.skip(1);
    return text;
  }

  /** A signed little-endian integer of `length` bytes, two's complement: a number where exact, else a bigint. */
  integer(length: number): number | bigint {
    if (length > this.context.limits.integerBytes) {
      throw this.context.error(
        `its pickle holds an integer of ${length} bytes, more than any checkpoint needs`,
      );
    }
    const start = this.skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[start + i] as number);
    return narrow(BigInt.asIntN(length * 8, value));
  }

  /** A decimal line, with the suffix L that Python 2 gives its long integers. */
  decimal(): number | bigint {
    const text = this.line().replace(/L$/, '');
    if (!/^[+-]?\d{1,2048}$/.test(text))
      throw this.context.error('its pickle holds a malformed integer; it is damaged');
    return narrow(text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text.replace('+', '')));
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
