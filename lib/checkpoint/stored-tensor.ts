import type { StoredDtype } from './dtype.js';

/**
 * A tensor to be written, whose bytes are asked for when their turn has come. One object under several names is one
 * tensor, which PyTorch's archives store once.
 */
export interface StoredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Dense bytes in C order, little-endian. */
  read(): Uint8Array | Promise<Uint8Array>;
}

/** A tensor that lies in a file, read when asked for. */
export interface FileTensor extends StoredTensor {
  /** @throws UserError where it cannot be read */
  read(): Uint8Array;
}

/** A tensor of bytes at hand. */
export function tensorOfBytes(
  dtype: StoredDtype,
  shape: readonly number[],
  bytes: ArrayBufferView,
): FileTensor {
  const data = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { dtype, shape, byteLength: data.byteLength, read: () => data };
}
