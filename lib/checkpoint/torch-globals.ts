import type { UserError } from '../errors.js';
import type { StoredDtype } from './dtype.js';
import { GlobalTable, plainData } from './pickle-globals.js';
import { type Construct, type PickleContext, PickleGlobal, type PickleValue } from './pickle-values.js';
import { TorchStorage, TorchStorageView, TorchTensor } from './torch-tensor.js';

/** PyTorch's typed storage classes; they carry a tensor's dtype. */
const storageDtypes: Readonly<Record<string, StoredDtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  // Bytes without a type: a tensor over them would have to name its own, which none of our sources does.
  UntypedStorage: 'U8',
};

/** dtypes as values, which hyper-parameters sometimes hold. */
const dtypeNames = [
  ...['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool'],
  ...['double', 'float', 'half', 'long', 'int', 'short'],
];

/** Dtype of a storage class named in a persistent id, or undefined. */
export function storageDtype(value: PickleValue): StoredDtype | undefined {
  if (!(value instanceof PickleGlobal) || !value.module.startsWith('torch')) return undefined;
  return Object.hasOwn(storageDtypes, value.name) ? storageDtypes[value.name] : undefined;
}

function sizes(value: PickleValue | undefined, context: PickleContext): number[] {
  const valid = Array.isArray(value) && value.length <= 64 && value.every((size) => typeof size === 'number');
  if (!valid) throw context.error('a tensor has an impossible shape or stride; the file is damaged');
  context.spend(value.length);
  return [...value] as number[];
}

/** `_rebuild_tensor(storage, offset, size, stride)`, and `_v2` with (requires_grad, hooks, metadata) behind. */
const rebuildTensor: Construct = (args, context) => {
  const [view, offset] = args;
  if (!(view instanceof TorchStorageView) || typeof offset !== 'number') {
    throw context.error('a tensor has no storage; the file is damaged');
  }
  return new TorchTensor(context.source, view, offset, sizes(args[2], context), sizes(args[3], context));
};

/** `_rebuild_parameter(data, requires_grad, hooks)`: its data. */
const rebuildParameter: Construct = (args, context) => {
  const [data] = args;
  if (!(data instanceof TorchTensor)) throw context.error('a parameter has no tensor; the file is damaged');
  return data;
};

/** Functions that give back their argument: `torch.Size(tuple)`, TorchScript's typed lists. */
const passThrough: Construct = (args, context) => {
  const [value] = args;
  if (args.length !== 1 || !Array.isArray(value))
    throw context.error('its pickle makes a list of something else; it is damaged');
  return value;
};

const torchData = new GlobalTable([
  ['torch._utils', '_rebuild_tensor', rebuildTensor],
  ['torch._utils', '_rebuild_tensor_v2', rebuildTensor],
  ['torch._utils', '_rebuild_parameter', rebuildParameter],
  ['torch._utils', '_rebuild_parameter_with_state', rebuildParameter],
  ['torch', 'Size', passThrough],
  ['torch', 'device'],
  ...dtypeNames.map((name) => ['torch', name] as const),
  ...Object.keys(storageDtypes).map((name) => ['torch', name] as const),
  ['torch.storage', 'UntypedStorage'],
  ['torch.storage', 'TypedStorage'],
  ...['build_intlist', 'build_tensorlist', 'build_doublelist', 'build_boollist'].map(
    (name) => ['torch.jit._pickle', name, passThrough] as const,
  ),
]);

/** Modules whose classes a pickled model is made of. They become inert records, whatever they are. */
const modulePattern = /^(?:torch\.nn\.(?:modules|parameter)(?:\.\w+)*|dall_e(?:\.\w+)*|__torch__(?:\.\w+)*)$/;

/**
 * What a PyTorch archive may name.
 *
 * @param allowModules whether classes of `torch.nn`, `dall_e` and TorchScript are kept as records
 */
export function findTorchGlobal(
  allowModules: boolean,
): (module: string, name: string) => PickleGlobal | undefined {
  return (module, name) => {
    const known = torchData.find(module, name) ?? plainData.find(module, name);
    if (known !== undefined || !allowModules) return known;
    const isModuleClass = modulePattern.test(module) && /^\w+$/.test(name);
    const isPartial = module === 'functools' && name === 'partial';
    return isModuleClass || isPartial ? new PickleGlobal(module, name) : undefined;
  };
}

/** What a persistent id asks for. */
export interface StorageRequest {
  readonly dtype: StoredDtype;
  readonly key: string;
  readonly count: number;
  /** Part of the storage, in elements. */
  readonly start: number;
  readonly length: number;
}

/**
 * Reads a persistent id: ('storage', class, key, location, count) and, in the older layout, a view
 * (key, start, length) or None behind it.
 *
 * @throws UserError naming the input
 */
export function parseStorageId(id: PickleValue, context: PickleContext): StorageRequest {
  const fail = (why: string): UserError => context.error(`${why}; the file is damaged`);
  if (!Array.isArray(id) || id[0] !== 'storage') throw fail('its pickle refers to data that is no storage');
  const [, kind, key, , count, view] = id;
  const dtype = kind === undefined ? undefined : storageDtype(kind);
  if (dtype === undefined) throw fail('a storage has no type that is supported');
  if (typeof key !== 'string' || !isCount(count)) throw fail('a storage has no key or size');
  if (view === undefined || view === null) return { dtype, key, count, start: 0, length: count };
  const [, start, length] = Array.isArray(view) ? view : [];
  if (!isCount(start) || !isCount(length) || start + length > count)
    throw fail(`storage ${key} has an impossible view`);
  return { dtype, key, count, start, length };
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= 2 ** 48;
}

/** The storages a pickle refers to, each made once. */
export class StorageTable {
  readonly storages = new Map<string, TorchStorage>();

  /** The storage, or part of one, that a persistent id asks for. */
  request(id: PickleValue, context: PickleContext): TorchStorageView {
    const { dtype, key, count, start, length } = parseStorageId(id, context);
    let storage = this.storages.get(key);
    if (storage === undefined) {
      storage = new TorchStorage(key, dtype, count);
      this.storages.set(key, storage);
    } else if (storage.dtype !== dtype || storage.count !== count) {
      throw context.error(`storage ${key} has two types or sizes; the file is damaged`);
    }
    return new TorchStorageView(storage, start, length);
  }
}
