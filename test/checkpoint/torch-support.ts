import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PickleValue } from '../../lib/checkpoint/pickle-values.js';
import { stateDictOf } from '../../lib/checkpoint/state-dict.js';
import { readTorchArchive } from '../../lib/checkpoint/torch-archive.js';
import { TorchTensor } from '../../lib/checkpoint/torch-tensor.js';
import { bytesOf, makeZip, temporaryFolder, u32, type ZipPart } from './support.js';

/** Writes a file of its own for the test. */
export function save(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), 'x.pth');
  writeFileSync(path, bytes);
  return path;
}

export const text = (value: string): Uint8Array => bytesOf('X', u32(value.length), value);
export const int = (value: number): Uint8Array => bytesOf('J', u32(value >>> 0));

/** Pickle code of one tensor over storage `key`. */
export function tensorCode(
  key: string,
  count: number,
  offset: number,
  shape: number[],
  stride: number[],
  kind = 'FloatStorage',
): Uint8Array {
  return bytesOf(
    'ctorch._utils\n_rebuild_tensor_v2\n(',
    bytesOf('(', text('storage'), `ctorch\n${kind}\n`, text(key), text('cpu'), int(count), 'tQ'),
    int(offset),
    bytesOf('(', ...shape.map(int), 't'),
    bytesOf('(', ...stride.map(int), 't'),
    '\x89ccollections\nOrderedDict\n)RtR',
  );
}

/** An archive of one dict with one tensor "w". */
export function archiveOf(code: Uint8Array, storage: Uint8Array, extra: ZipPart[] = []): string {
  const pickle = bytesOf('\x80\x02}', text('w'), code, 's.');
  return save(makeZip([{ name: 'x/data.pkl', data: pickle }, { name: 'x/data/0', data: storage }, ...extra]));
}

export const floats = new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i).buffer);

/** The float32 elements of its tensor "w". */
export function valuesOf(path: string): number[] {
  const tensor = stateDictOf(readTorchArchive(path), path).get('w') as TorchTensor;
  return [...new Float32Array(tensor.read().buffer)];
}

/** All tensors in a tree of dicts and lists, by their path. */
export function tensorsIn(
  value: PickleValue,
  path: string,
  found = new Map<string, TorchTensor>(),
): Map<string, TorchTensor> {
  if (value instanceof TorchTensor) found.set(path, value);
  else if (value instanceof Map)
    for (const [key, item] of value) tensorsIn(item, `${path}/${String(key)}`, found);
  else if (Array.isArray(value))
    value.forEach((item, i) => {
      tensorsIn(item, `${path}/${i}`, found);
    });
  return found;
}
