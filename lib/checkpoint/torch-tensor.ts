import { UserError } from '../errors.js';
import { denseByteLength, elementCount, type StoredDtype, storedDtypeBytes } from './dtype.js';
import { PickleData } from './pickle-values.js';
import { allocateBytes } from './positioned-file.js';

/** Where a storage's bytes lie in an archive. */
export interface StorageSource {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** The bytes of one or more tensors, as an archive holds them. */
export class TorchStorage extends PickleData {
  /** Set while reading the archive: the older layout says only behind the pickle where the bytes lie. */
  source: StorageSource | undefined;

  constructor(
    /** Its key in the archive. */
    readonly key: string,
    readonly dtype: StoredDtype,
    /** Number of elements. */
    readonly count: number,
  ) {
    super();
  }

  get byteLength(): number {
    return this.count * storedDtypeBytes[this.dtype];
  }
}

/** A part of a storage, as the older layout may refer to one; the whole where `start` is 0. */
export class TorchStorageView extends PickleData {
  constructor(
    readonly storage: TorchStorage,
    /** First element. */
    readonly start: number,
    readonly count: number,
  ) {
    super();
  }
}

/** Expanded tensors (stride 0) may be larger than their storage, but only up to this many elements. */
const maxExpandedCount = 2 ** 24;

/** A tensor of a PyTorch archive. Its bytes are read when asked for; the file must still be there then. */
export class TorchTensor extends PickleData {
  readonly dtype: StoredDtype;
  readonly byteLength: number;
  /** Number of elements. */
  readonly count: number;

  /**
   * @param source name of the input in messages
   * @param start first element, counted in the storage view
   * @param stride elements between neighbours, one a dimension
   * @throws UserError where the shape is impossible or reaches beyond the storage
   */
  constructor(
    private readonly source: string,
    private readonly view: TorchStorageView,
    private readonly start: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {
    super();
    this.dtype = view.storage.dtype;
    const count = elementCount(shape);
    const bytes = denseByteLength(this.dtype, shape);
    const sane = elementCount(stride) !== undefined && elementCount([start]) !== undefined;
    if (count === undefined || bytes === undefined || stride.length !== shape.length || !sane) {
      throw new UserError(`${source}: a tensor has an impossible shape or stride; the file is damaged`);
    }
    let last = start;
    for (let d = 0; d < shape.length; d++) last += ((shape[d] as number) - 1) * (stride[d] as number);
    if (count > 0 && !(last < view.count)) {
      throw new UserError(
        `${source}: a tensor [${shape.join(', ')}] reaches beyond its storage of ${view.count} elements; the file is damaged`,
      );
    }
    if (count > Math.max(view.count, maxExpandedCount)) {
      throw new UserError(
        `${source}: a tensor [${shape.join(', ')}] is far larger than its storage; the file is damaged`,
      );
    }
    this.count = count;
    this.byteLength = bytes;
  }

  /** The storage it lies in. */
  get storage(): TorchStorage {
    return this.view.storage;
  }

  /** Where in its storage it lies: two tensors of one storage are the same where these are equal. */
  get place(): string {
    return `${this.view.start + this.start} [${this.shape.join(', ')}] [${this.stride.join(', ')}]`;
  }

  /** Dense bytes in C order, little-endian, in a buffer of their own. @throws UserError where they cannot be read */
  read(): Uint8Array {
    if (this.count === 0) return new Uint8Array(0);
    const width = storedDtypeBytes[this.dtype];
    const first = (this.view.start + this.start) * width;
    const { source } = this.view.storage;
    if (source === undefined) throw new Error('a tensor was read before its archive');
    if (this.isContiguous()) return source.read(first, this.byteLength);
    let last = 0;
    for (let d = 0; d < this.shape.length; d++)
      last += ((this.shape[d] as number) - 1) * (this.stride[d] as number);
    return this.gather(source.read(first, (last + 1) * width), width);
  }

  private isContiguous(): boolean {
    let expected = 1;
    for (let d = this.shape.length - 1; d >= 0; d--) {
      const size = this.shape[d] as number;
      if (size !== 1 && this.stride[d] !== expected) return false;
      expected *= size;
    }
    return true;
  }

  /** Copies strided elements to C order; `from` starts at the first element. */
  private gather(from: Uint8Array, width: number): Uint8Array {
    const bytes = allocateBytes(this.byteLength, this.source);
    const rank = this.shape.length;
    const index = new Array<number>(rank).fill(0);
    let at = 0;
    for (let i = 0; i < this.count; i++) {
      for (let b = 0; b < width; b++) bytes[i * width + b] = from[at * width + b] as number;
      for (let d = rank - 1; d >= 0; d--) {
        at += this.stride[d] as number;
        index[d] = (index[d] as number) + 1;
        if ((index[d] as number) < (this.shape[d] as number)) break;
        at -= (index[d] as number) * (this.stride[d] as number);
        index[d] = 0;
      }
    }
    return bytes;
  }
}
