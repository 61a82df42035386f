import { UserError } from '../errors.js';
import { PickledObject, PickleGlobal, type PickleValue } from './pickle-values.js';
import { PickleCall, type PickleSource } from './pickle-writer.js';
import type { TensorAliases } from './tensor-aliases.js';
import { TorchTensor } from './torch-tensor.js';
import type { TorchStorages } from './torch-writer.js';

/** Deeper nesting is no checkpoint's. */
const maxDepth = 200;

/**
 * What a PyTorch file holds, ready to be written so that `torch.load(weights_only=True)` accepts it: an
 * argparse.Namespace becomes a dict of its attributes, a path its text, a set a list; other objects are left out.
 */
export class WritableTree {
  private readonly made = new Map<PickleValue, PickleSource>();
  /** What was left out: where it stood, and its class. */
  readonly leftOut: string[] = [];

  constructor(
    private readonly source: string,
    private readonly storages: TorchStorages,
    private readonly aliases: TensorAliases,
  ) {}

  /** @throws UserError for nesting without end */
  convert(value: PickleValue, path = '', depth = 0): PickleSource {
    if (depth > maxDepth) throw new UserError(`${this.source}: nests without end; the file is damaged`);
    if (value instanceof TorchTensor) return this.storages.tensor(this.aliases.of(value));
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
    const known = this.made.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value) || value instanceof Set) {
      const list: PickleSource[] = [];
      this.made.set(value, list);
      for (const item of value) list.push(this.convert(item, `${path}.${list.length}`, depth + 1));
      return list;
    }
    if (value instanceof Map) return this.dict(value, value, path, depth);
    if (value instanceof PickledObject && value.name === 'Namespace' && value.state instanceof Map) {
      return this.dict(value, value.state, path, depth);
    }
    if (value instanceof PickledObject && value.name === 'PosixPath') {
      return value.args.map(String).join('/').replace(/^\/\//, '/');
    }
    if (value instanceof PickleGlobal && value.module === 'torch') return new PickleCall('torch', value.name);
    const kind =
      value instanceof PickledObject || value instanceof PickleGlobal
        ? ` (${value.module}.${value.name})`
        : '';
    this.leftOut.push(`${path.replace(/^\./, '')}${kind}`);
    return null;
  }

  private dict(
    key: PickleValue,
    from: ReadonlyMap<PickleValue, PickleValue>,
    path: string,
    depth: number,
  ): PickleSource {
    const dict = new Map<PickleSource, PickleSource>();
    this.made.set(key, dict);
    for (const [name, item] of from) {
      dict.set(this.convert(name, path, depth + 1), this.convert(item, `${path}.${String(name)}`, depth + 1));
    }
    return dict;
  }
}
