import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { UserError } from '../errors.js';
import { denseByteLength, type StoredDtype } from './dtype.js';
import { type FileDigest, writeFileWhole } from './file-sink.js';
import {
  PickleCall,
  PicklePersistent,
  type PickleSource,
  PickleTuple,
  writePickle,
} from './pickle-writer.js';
import type { StoredTensor } from './stored-tensor.js';
import { ZipWriter, zipAlignment } from './zip-writer.js';

/** PyTorch's storage class of each dtype. */
const storageClasses: Readonly<Record<StoredDtype, string>> = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  I32: 'IntStorage',
  I16: 'ShortStorage',
  I8: 'CharStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
};

/** The storages of an archive being put together: a tensor under several names has one. */
export class TorchStorages {
  private readonly references = new Map<StoredTensor, PickleCall>();

  /** The tensors, in the order of their storages' keys 0, 1, … */
  get tensors(): StoredTensor[] {
    return [...this.references.keys()];
  }

  /** What stands for the tensor in the saved object. */
  tensor(tensor: StoredTensor): PickleCall {
    const known = this.references.get(tensor);
    if (known !== undefined) return known;
    const { dtype, shape } = tensor;
    const count = shape.reduce((product, extent) => product * extent, 1);
    const strides: number[] = [];
    let stride = 1;
    for (let d = shape.length - 1; d >= 0; d--) {
      strides.unshift(stride);
      stride *= Math.max(1, shape[d] as number);
    }
    const storage = new PickleTuple([
      'storage',
      new PickleCall('torch', storageClasses[dtype]),
      String(this.references.size),
      'cpu',
      count,
    ]);
    const reference = new PickleCall('torch._utils', '_rebuild_tensor_v2', [
      new PicklePersistent(storage),
      0,
      new PickleTuple(shape),
      new PickleTuple(strides),
      false,
      new PickleCall('collections', 'OrderedDict', []),
    ]);
    this.references.set(tensor, reference);
    return reference;
  }

  /** A `state_dict`: an OrderedDict of tensors by name. */
  stateDict(tensors: ReadonlyMap<string, StoredTensor>): PickleCall {
    const items = new Map<PickleSource, PickleSource>();
    for (const [name, tensor] of tensors) items.set(name, this.tensor(tensor));
    return new PickleCall('collections', 'OrderedDict', [], items);
  }
}

/**
 * Writes a file that `torch.load(weights_only=True)` reads, in the zip layout of PyTorch 1.6 and later. One tensor is
 * held at a time; the file appears under its name only when complete and synced.
 *
 * @param build makes the saved object, its tensors by `storages`
 * @returns size and SHA-256 of the file
 * @throws UserError for a tensor whose bytes are not those of its shape, a full disk, a folder that cannot be written
 */
export async function writeTorchArchive(
  path: string,
  build: (storages: TorchStorages) => PickleSource,
): Promise<FileDigest> {
  const storages = new TorchStorages();
  const pickle = writePickle(build(storages), path);
  // PyTorch names the archive's folder after the file.
  const folder =
    basename(path)
      .replace(/\.[^.]*$/, '')
      .replaceAll(/[^\w.-]/g, '_') || 'archive';
  return await writeFileWhole(path, async (sink) => {
    const zip = new ZipWriter(sink);
    const identity = createHash('sha256');
    const add = async (name: string, bytes: Uint8Array): Promise<void> => {
      identity.update(`${name} ${await zip.add(`${folder}/${name}`, bytes)}\n`);
    };
    const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
    await add('data.pkl', pickle);
    await add('.format_version', text('1'));
    await add('.storage_alignment', text(String(zipAlignment)));
    await add('byteorder', text('little'));
    for (const [key, tensor] of storages.tensors.entries()) {
      const bytes = await tensor.read();
      if (bytes.byteLength !== denseByteLength(tensor.dtype, tensor.shape)) {
        throw new UserError(
          `${path}: a tensor ${tensor.dtype} [${tensor.shape.join(', ')}] gave ${bytes.byteLength} bytes`,
        );
      }
      await add(`data/${key}`, bytes);
    }
    await add('version', text('3\n'));
    await zip.add(`${folder}/.data/serialization_id`, text(serializationId(identity.digest())));
    await zip.finish();
  });
}

/** 40 decimal digits that tell one archive's contents from another's. */
function serializationId(digest: Buffer): string {
  return [0, 8].map((at) => digest.readBigUInt64LE(at).toString().padStart(20, '0')).join('');
}
