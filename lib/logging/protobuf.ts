const wireVarint = 0;
const wireFixed64 = 1;
const wireBytes = 2;
const wireFixed32 = 5;

/**
 * Builds one message in protobuf's wire format: as many field kinds as an event file needs. Fields appear in the
 * order they are added.
 */
export class ProtobufMessage {
  readonly #parts: Uint8Array[] = [];

  /** int32/int64/enum field; `value` is a safe integer ≥ 0. */
  varint(field: number, value: number): this {
    this.#tag(field, wireVarint);
    this.#varint(value);
    return this;
  }

  double(field: number, value: number): this {
    this.#tag(field, wireFixed64);
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#parts.push(bytes);
    return this;
  }

  /** float field: `value` is rounded to single precision. */
  float(field: number, value: number): this {
    this.#tag(field, wireFixed32);
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.#parts.push(bytes);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, wireBytes);
    this.#varint(value.byteLength);
    this.#parts.push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }

  message(field: number, value: ProtobufMessage): this {
    return this.bytes(field, value.encode());
  }

  encode(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire);
  }

  #varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a varint: ${value}`);
    const bytes: number[] = [];
    let rest = value;
    // Division, not shifts: steps and sizes may pass 32 bits.
    while (rest >= 128) {
      bytes.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    bytes.push(rest);
    this.#parts.push(Uint8Array.from(bytes));
  }
}
