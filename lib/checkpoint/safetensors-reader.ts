import { UserError } from '../errors.js';
import { type StoredDtype, toFloat32, toFloat64, toInt32 } from './dtype.js';
import { allocateBytes, PositionedFile } from './positioned-file.js';
import { lengthFieldBytes, maxHeaderBytes, parseHeader, type TensorRecord } from './safetensors-header.js';

/** What a file says of one tensor. */
export interface StoredTensorInfo {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/**
 * A safetensors file, opened for reading one tensor at a time. Only the header is held in memory.
 * The whole header is checked on opening; `Symbol.dispose` and `close()` release the descriptor.
 */
export class SafetensorsFile {
  private readonly tensors: ReadonlyMap<string, TensorRecord>;
  private open = true;

  private constructor(
    private readonly file: PositionedFile,
    /** The file's own key-value pairs; empty where it has none. */
    readonly metadata: Readonly<Record<string, string>>,
    tensors: readonly TensorRecord[],
    private readonly dataStart: number,
  ) {
    this.tensors = new Map(tensors.map((record) => [record.name, record]));
  }

  /**
   * Opens a file and checks its header against its size.
   *
   * @throws UserError naming the file, and the tensor where it is one tensor's entry that is wrong
   */
  static open(path: string): SafetensorsFile {
    const file = new PositionedFile(path);
    file.acquire();
    try {
      if (file.size < lengthFieldBytes) {
        throw new UserError(`${path}: ${file.size} bytes are too few for a safetensors file; copy it again`);
      }
      const length = new DataView(file.read(0, lengthFieldBytes).buffer).getBigUint64(0, true);
      if (length > BigInt(maxHeaderBytes)) {
        throw new UserError(
          `${path}: claims a header of ${length} bytes; it is no safetensors file or is damaged`,
        );
      }
      const dataStart = lengthFieldBytes + Number(length);
      if (dataStart > file.size) {
        throw new UserError(
          `${path}: claims a header of ${length} bytes but has only ${file.size} in all; it is truncated or damaged`,
        );
      }
      const text = file.read(lengthFieldBytes, Number(length));
      const { metadata, tensors } = parseHeader(path, text, file.size - dataStart);
      return new SafetensorsFile(file, metadata, tensors, dataStart);
    } catch (error) {
      file.release();
      throw error;
    }
  }

  /** Path given to `open`. */
  get path(): string {
    return this.file.path;
  }

  /** Names of the tensors, in the order of their bytes. */
  names(): string[] {
    return [...this.tensors.keys()];
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** @throws UserError where the file has no such tensor */
  info(name: string): StoredTensorInfo {
    const { dtype, shape, begin, end } = this.record(name);
    return { dtype, shape, byteLength: end - begin };
  }

  /** One tensor's bytes: dense, C order, little-endian, in a buffer of their own. */
  read(name: string): Uint8Array {
    const { begin, end } = this.record(name);
    const bytes = allocateBytes(end - begin, `${this.path}: tensor ${JSON.stringify(name)}`);
    this.file.readInto(bytes, this.dataStart + begin);
    return bytes;
  }

  /**
   * One tensor's bytes piece by piece, for tensors larger than one buffer can be. Each piece is a new array.
   *
   * @param chunkBytes bytes of each piece but the last, default 16 MiB
   * @throws RangeError where that is no whole number of at least 1
   */
  *readChunks(name: string, chunkBytes = 2 ** 24): Generator<Uint8Array, void, undefined> {
    if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1) {
      throw new RangeError(`readChunks: pieces of ${chunkBytes} bytes; give a whole number of at least 1`);
    }
    const { begin, end } = this.record(name);
    for (let at = begin; at < end; at += chunkBytes) {
      this.record(name); // the file may have been closed between two pieces
      yield this.file.read(this.dataStart + at, Math.min(chunkBytes, end - at));
    }
  }

  /** A floating-point tensor as float32 (F16 and BF16 exactly, F64 rounded). @throws UserError for other dtypes */
  readFloat32(name: string): Float32Array {
    const { dtype } = this.record(name);
    return toFloat32(dtype, this.read(name)) ?? this.wrongType(name, 'floating-point');
  }

  /** A floating-point tensor as float64. @throws UserError for other dtypes */
  readFloat64(name: string): Float64Array {
    const { dtype } = this.record(name);
    return toFloat64(dtype, this.read(name)) ?? this.wrongType(name, 'floating-point');
  }

  /** An integer or BOOL tensor as int32. @throws UserError for other dtypes, and I64 values that do not fit */
  readInt32(name: string): Int32Array {
    const { dtype } = this.record(name);
    return toInt32(dtype, this.read(name)) ?? this.wrongType(name, '32-bit integer');
  }

  /** Closes the file; reading afterwards throws. Closing twice does nothing. */
  close(): void {
    if (this.open) this.file.release();
    this.open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private record(name: string): TensorRecord {
    if (!this.open) throw new Error(`${this.path} was closed before tensor ${name} was read`);
    const record = this.tensors.get(name);
    if (record === undefined) {
      throw new UserError(
        `${this.path} has no tensor ${JSON.stringify(name)}; it is not the file expected here`,
      );
    }
    return record;
  }

  private wrongType(name: string, wanted: string): never {
    const { dtype } = this.record(name);
    throw new UserError(
      `${this.path}: tensor ${JSON.stringify(name)} (${dtype}) does not hold ${wanted} values`,
    );
  }
}
