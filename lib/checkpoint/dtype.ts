/**
 * Element types of stored tensors, under the names the safetensors format gives them, and their decoding.
 * All multi-byte values are little-endian, as the format prescribes and as every platform we run on stores them.
 */

/** Bytes of one element of each type. */
export const storedDtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Name of an element type in a safetensors header. */
export type StoredDtype = keyof typeof storedDtypeBytes;

/** Whether `name` is an element type we read and write. */
export function isStoredDtype(name: unknown): name is StoredDtype {
  return typeof name === 'string' && Object.hasOwn(storedDtypeBytes, name);
}

/**
 * Number of elements of a shape ([] is a scalar: 1).
 *
 * @returns undefined where a size is not a non-negative integer or the product leaves the exact integers
 */
export function elementCount(shape: readonly unknown[]): number | undefined {
  let count = 1;
  let empty = false;
  for (const size of shape) {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
    if (size === 0) {
      empty = true;
      continue;
    }
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return empty ? 0 : count;
}

/** Bytes of a dense tensor, or undefined where that is no exact integer. */
export function denseByteLength(dtype: StoredDtype, shape: readonly unknown[]): number | undefined {
  const count = elementCount(shape);
  if (count === undefined) return undefined;
  const bytes = count * storedDtypeBytes[dtype];
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

let halfTable: Float32Array | undefined;

/** float32 of every float16 bit pattern; 256 KiB, made once because a table beats per-element bit work. */
function halfToFloatTable(): Float32Array {
  if (halfTable !== undefined) return halfTable;
  const bits = new Uint32Array(65536);
  const floats = new Float32Array(bits.buffer);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0x1f) {
      bits[half] = sign | 0x7f800000 | (mantissa << 13);
    } else if (exponent !== 0) {
      bits[half] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else {
      // Subnormal halves (and zero) are exact multiples of 2^-24, normal in float32.
      floats[half] = mantissa * 2 ** -24;
      bits[half] = (bits[half] ?? 0) | sign;
    }
  }
  halfTable = floats;
  return floats;
}

/** A view of `bytes` as elements of `width` bytes; copies only where the alignment requires it. */
function aligned(
  bytes: Uint8Array,
  width: number,
): { buffer: ArrayBufferLike; offset: number; length: number } {
  const source = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return { buffer: source.buffer, offset: source.byteOffset, length: source.byteLength / width };
}

/**
 * Floating-point elements as float32: F32 exactly, F16 and BF16 exactly, F64 rounded to nearest.
 *
 * @returns undefined for the integer types and BOOL. F32 may share memory with `bytes`
 */
export function toFloat32(dtype: StoredDtype, bytes: Uint8Array): Float32Array | undefined {
  const { buffer, offset, length } = aligned(bytes, storedDtypeBytes[dtype]);
  if (dtype === 'F32') return new Float32Array(buffer, offset, length);
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer, offset, length));
  if (dtype === 'BF16') {
    const words = new Uint16Array(buffer, offset, length);
    const bits = new Uint32Array(length);
    for (let i = 0; i < length; i++) bits[i] = (words[i] as number) << 16;
    return new Float32Array(bits.buffer);
  }
  if (dtype === 'F16') {
    const words = new Uint16Array(buffer, offset, length);
    const table = halfToFloatTable();
    const floats = new Float32Array(length);
    for (let i = 0; i < length; i++) floats[i] = table[words[i] as number] as number;
    return floats;
  }
  return undefined;
}

/**
 * Integer and BOOL elements as int32.
 *
 * @returns undefined for the floating-point types, and for I64 where a value does not fit
 */
export function toInt32(dtype: StoredDtype, bytes: Uint8Array): Int32Array | undefined {
  const { buffer, offset, length } = aligned(bytes, storedDtypeBytes[dtype]);
  switch (dtype) {
    case 'I32':
      return new Int32Array(buffer, offset, length);
    case 'I16':
      return Int32Array.from(new Int16Array(buffer, offset, length));
    case 'I8':
      return Int32Array.from(new Int8Array(buffer, offset, length));
    case 'U8':
    case 'BOOL':
      return Int32Array.from(new Uint8Array(buffer, offset, length));
    case 'I64': {
      const source = new BigInt64Array(buffer, offset, length);
      const values = new Int32Array(length);
      for (let i = 0; i < length; i++) {
        const value = Number(source[i]);
        if (value !== (value | 0)) return undefined;
        values[i] = value;
      }
      return values;
    }
    default:
      return undefined;
  }
}

/** Elements of F64 exactly, of the other floating-point types widened; undefined for integers and BOOL. */
export function toFloat64(dtype: StoredDtype, bytes: Uint8Array): Float64Array | undefined {
  if (dtype === 'F64') {
    const { buffer, offset, length } = aligned(bytes, 8);
    return new Float64Array(buffer, offset, length);
  }
  const floats = toFloat32(dtype, bytes);
  return floats === undefined ? undefined : Float64Array.from(floats);
}
