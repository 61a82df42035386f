const wireVarint = 0;
const wireFixed64 = 1;
const wireBytes = 2;
const wireFixed32 = 5;

/**
 * Builds one message in protobuf's wire format: as many field kinds as event files and ONNX models need. Fields appear
 * in the order they are added. Bytes given are kept, not copied, until the message is encoded.
 */
export class ProtobufMessage {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** Bytes of the encoded message. */
  get byteLength(): number {
    return this.#length;
  }

  /** The encoded message in pieces, for a file too large to be held a second time. */
  get parts(): readonly Uint8Array[] {
    return this.#parts;
  }

  /** int32/int64/enum field; `value` is a safe integer ≥ 0. */
  varint(field: number, value: number): this {
    this.#tag(field, wireVarint);
    this.#varint(value);
    return this;
  }

  /** int32/int64 field of either sign. */
  int64(field: number, value: number): this {
    if (value >= 0) return this.varint(field, value);
    this.#tag(field, wireVarint);
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) + 128);
    bytes.push(Number(rest));
    this.#push(Uint8Array.from(bytes));
    return this;
  }

  double(field: number, value: number): this {
    this.#tag(field, wireFixed64);
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#push(bytes);
    return this;
  }

  /** float field: `value` is rounded to single precision. */
  float(field: number, value: number): this {
    this.#tag(field, wireFixed32);
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.#push(bytes);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, wireBytes);
    this.#varint(value.byteLength);
    this.#push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }

  message(field: number, value: ProtobufMessage): this {
    this.#tag(field, wireBytes);
    this.#varint(value.byteLength);
    for (const part of value.parts) this.#push(part);
    return this;
  }

  encode(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.byteLength;
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
    this.#push(Uint8Array.from(bytes));
  }
}
