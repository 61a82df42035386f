import {
  type Construct,
  type PickleContext,
  PickledObject,
  PickleGlobal,
  type PickleValue,
} from './pickle-values.js';

/** The items of the one argument that `list`, `tuple`, `set` take; copying is what the budget is charged for. */
function copyItems(args: readonly PickleValue[], context: PickleContext): PickleValue[] {
  const source = args[0] ?? [];
  if (args.length > 1 || !(Array.isArray(source) || source instanceof Set)) {
    throw context.error('its pickle makes a list or set of something else; it is damaged');
  }
  context.spend(Array.isArray(source) ? source.length : source.size);
  return [...source];
}

const makeList: Construct = (args, context) => copyItems(args, context);
const makeSet: Construct = (args, context) => new Set(copyItems(args, context));

/** `dict(...)`, `OrderedDict(...)`: of nothing, of another dict, of a list of pairs. */
const makeDict: Construct = (args, context) => {
  const source = args[0];
  const dict = new Map<PickleValue, PickleValue>();
  if (source === undefined) return dict;
  if (source instanceof Map) {
    context.spend(2 * source.size);
    return new Map(source);
  }
  if (!Array.isArray(source)) throw context.error('its pickle makes a dict of something else; it is damaged');
  context.spend(2 * source.length);
  for (const pair of source) {
    const [key, value] = Array.isArray(pair) ? pair : [];
    if (key === undefined || value === undefined)
      throw context.error('its pickle makes a dict of no pairs; it is damaged');
    dict.set(key, value);
  }
  return dict;
};

/** `collections.defaultdict(factory, …)`: the factory is dropped, nothing is ever called. */
const makeDefaultDict: Construct = (args, context) => makeDict(args.slice(1), context);

/** `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes. */
const encodeLatin1: Construct = (args, context) => {
  const [text, encoding] = args;
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) {
    throw context.error('its pickle encodes text in a way that is not supported');
  }
  context.spend(Math.ceil(text.length / 8));
  return new Uint8Array(Buffer.from(text, 'latin1'));
};

/** `bytes()`, `bytearray()`, and `bytearray(bytes)`. */
const makeBytes: Construct = (args, context) => {
  const source = args[0] ?? new Uint8Array(0);
  if (!(source instanceof Uint8Array))
    throw context.error('its pickle makes bytes of something else; it is damaged');
  return source;
};

/** `numpy.core.multiarray.scalar(dtype, bytes)` as the number it is. */
const makeNumpyScalar: Construct = (args, context) => {
  const [dtype, bytes] = args;
  const kind = dtype instanceof PickledObject && dtype.name === 'dtype' ? dtype.args[0] : undefined;
  const order = dtype instanceof PickledObject && Array.isArray(dtype.state) ? dtype.state[1] : '<';
  if (bytes instanceof Uint8Array && order !== '>') {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const width = bytes.byteLength;
    if (kind === 'f8' && width === 8) return view.getFloat64(0, true);
    if (kind === 'f4' && width === 4) return view.getFloat32(0, true);
    if (kind === 'i8' && width === 8) {
      const value = view.getBigInt64(0, true);
      return Number.isSafeInteger(Number(value)) ? Number(value) : value;
    }
    if (kind === 'i4' && width === 4) return view.getInt32(0, true);
    if (kind === 'b1' && width === 1) return view.getUint8(0) !== 0;
  }
  throw context.error(
    'its pickle holds a NumPy scalar of a type that is not supported; save a plain number instead',
  );
};

/** A global and the function of ours that stands for it; without one, it is kept as an inert record. */
export type GlobalEntry = readonly [module: string, name: string, construct?: Construct];

/** Functions of ours for Python's plain data, by `module.name`. */
const plainGlobals: readonly GlobalEntry[] = [
  ['collections', 'OrderedDict', makeDict],
  ['collections', 'Counter', makeDict],
  ['collections', 'defaultdict', makeDefaultDict],
  ['argparse', 'Namespace'],
  ['pathlib', 'PosixPath'],
  ['_codecs', 'encode', encodeLatin1],
  ...['builtins', '__builtin__'].flatMap((module): GlobalEntry[] => [
    [module, 'set', makeSet],
    [module, 'frozenset', makeSet],
    [module, 'list', makeList],
    [module, 'tuple', makeList],
    [module, 'dict', makeDict],
    [module, 'bytes', makeBytes],
    [module, 'bytearray', makeBytes],
  ]),
  ['numpy', 'dtype'],
  ['numpy', 'ndarray'],
  ...['numpy.core.multiarray', 'numpy._core.multiarray'].flatMap((module): GlobalEntry[] => [
    [module, 'scalar', makeNumpyScalar],
    [module, '_reconstruct'],
  ]),
];

/** A lookup of globals by module and name; later entries replace earlier ones. */
export class GlobalTable {
  private readonly table = new Map<string, PickleGlobal>();

  constructor(entries: Iterable<GlobalEntry>) {
    for (const [module, name, construct] of entries) {
      this.table.set(`${module}\n${name}`, new PickleGlobal(module, name, construct));
    }
  }

  find(module: string, name: string): PickleGlobal | undefined {
    return this.table.get(`${module}\n${name}`);
  }
}

/** Python's plain data: containers, `argparse.Namespace`, NumPy scalars. */
export const plainData = new GlobalTable(plainGlobals);
