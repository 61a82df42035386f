import { UserError } from '../errors.js';
import { PickledObject, type PickleValue } from './pickle-values.js';
import { TorchTensor } from './torch-tensor.js';

/** Keys under which training scripts keep a model's weights, in the order tried. */
const wrapperKeys: readonly string[] = ['model', 'state_dict', 'module'];

/** Modules nested deeper, or more parts, is no model: shared parts can make a few bytes look like millions. */
const maxModuleDepth = 64;
const maxParts = 1_000_000;
const maxNameLength = 1024;

/** Tensors by their dotted names, in the order saved. */
export type StateDict = Map<string, TorchTensor>;

/**
 * Finds the weights in what `readTorchArchive` gave: a dict of tensors by itself, or under `model`, `state_dict` or
 * `module`; a pickled module in these places counts too. Entries of the dict that are no tensors are left out.
 *
 * @param source name of the file in messages
 * @param keys where to look, in this order, in place of those three
 * @throws UserError where there are none
 */
export function stateDictOf(tree: PickleValue, source: string, keys = wrapperKeys): StateDict {
  const found = findStateDict(tree, source, keys, 0);
  if (found !== undefined) return found;
  throw new UserError(
    `${source}: holds no weights: no dict of tensors by itself or under ${keys.join(', ')}; name a model’s checkpoint`,
  );
}

function findStateDict(
  tree: PickleValue,
  source: string,
  keys: readonly string[],
  depth: number,
): StateDict | undefined {
  if (tree instanceof PickledObject) {
    return isModule(tree) ? moduleStateDict(tree, source).tensors : undefined;
  }
  if (!(tree instanceof Map) || depth > 2) return undefined;
  for (const key of keys) {
    const inner = tree.get(key);
    const found = inner === undefined ? undefined : findStateDict(inner, source, keys, depth + 1);
    if (found !== undefined) return found;
  }
  const tensors: StateDict = new Map();
  for (const [key, value] of tree) {
    if (typeof key !== 'string') return undefined;
    if (value instanceof TorchTensor) tensors.set(key, value);
  }
  return tensors.size > 0 ? tensors : undefined;
}

/** A plain attribute of a module. */
export type ModuleAttribute = string | number | boolean | null;

/** A pickled module taken apart. */
export interface ModuleContents {
  /** Class of the root, for example `dall_e.encoder.Encoder`. */
  readonly className: string;
  /** As `state_dict()` would name and order them: parameters, buffers, then submodules. */
  readonly tensors: StateDict;
  /** The root's own numbers, strings and flags, for example `n_hid`, `vocab_size`. */
  readonly attributes: Map<string, ModuleAttribute>;
}

function isModule(value: PickledObject): boolean {
  return value.attribute('_modules') instanceof Map || isScripted(value);
}

/** TorchScript keeps parameters and submodules as plain attributes. */
function isScripted(value: PickledObject): boolean {
  return value.module.startsWith('__torch__') && value.state instanceof Map;
}

/**
 * The tensors and attributes of a pickled `torch.nn.Module`, or of a TorchScript module.
 *
 * @param tree what `readTorchArchive(path, { allowModules: true })` gave
 * @param source name of the file in messages
 * @throws UserError where it is no module
 */
export function moduleStateDict(tree: PickleValue, source: string): ModuleContents {
  if (!(tree instanceof PickledObject) || !isModule(tree)) {
    throw new UserError(`${source}: holds no pickled module; name a file that torch.save(module) wrote`);
  }
  const tensors: StateDict = new Map();
  new ModuleWalk(source, tensors).visit(tree, '', 0);
  const attributes = new Map<string, ModuleAttribute>();
  for (const [key, value] of tree.state as Map<PickleValue, PickleValue>) {
    if (typeof key !== 'string' || key.startsWith('_')) continue;
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) {
      attributes.set(key, value as ModuleAttribute);
    }
  }
  return { className: `${tree.module}.${tree.name}`, tensors, attributes };
}

class ModuleWalk {
  private parts = 0;

  constructor(
    private readonly source: string,
    private readonly tensors: StateDict,
  ) {}

  visit(module: PickledObject, prefix: string, depth: number): void {
    if (depth > maxModuleDepth) throw this.endless();
    if (!(module.attribute('_modules') instanceof Map) && isScripted(module)) {
      this.visitScripted(module.state as Map<PickleValue, PickleValue>, prefix, depth);
      return;
    }
    const skipped = module.attribute('_non_persistent_buffers_set');
    this.collect(module.attribute('_parameters'), prefix);
    this.collect(module.attribute('_buffers'), prefix, skipped instanceof Set ? skipped : undefined);
    for (const [name, child] of this.dict(module.attribute('_modules'))) {
      const path = `${prefix}${this.key(name)}`;
      if (child instanceof PickledObject) this.visit(child, `${path}.`, depth + 1);
      else if (child !== null)
        throw new UserError(`${this.source}: ${path} is no module; the file is damaged`);
    }
  }

  private visitScripted(state: ReadonlyMap<PickleValue, PickleValue>, prefix: string, depth: number): void {
    const children: [string, PickledObject][] = [];
    for (const [name, value] of state) {
      const path = `${prefix}${this.key(name)}`;
      if (value instanceof TorchTensor) this.tensors.set(path, value);
      else if (value instanceof PickledObject && isScripted(value)) children.push([path, value]);
    }
    for (const [path, child] of children) this.visit(child, `${path}.`, depth + 1);
  }

  private collect(dict: PickleValue | undefined, prefix: string, skipped?: ReadonlySet<PickleValue>): void {
    for (const [name, value] of this.dict(dict)) {
      const path = `${prefix}${this.key(name)}`;
      if (value === null || skipped?.has(name)) continue;
      if (!(value instanceof TorchTensor)) {
        throw new UserError(`${this.source}: ${path} is no tensor; the file is damaged`);
      }
      this.tensors.set(path, value);
    }
  }

  private dict(value: PickleValue | undefined): ReadonlyMap<PickleValue, PickleValue> {
    if (value === undefined) return new Map();
    if (value instanceof Map) return value;
    throw new UserError(`${this.source}: a module has no dict where one must be; the file is damaged`);
  }

  /** A part's name; every part met is counted here. */
  private key(name: PickleValue): string {
    this.parts++;
    if (this.parts > maxParts) throw this.endless();
    if (typeof name === 'string' && name.length <= maxNameLength) return name;
    throw new UserError(`${this.source}: a module has a part without a proper name; the file is damaged`);
  }

  private endless(): UserError {
    return new UserError(`${this.source}: its modules nest without end; the file is damaged`);
  }
}
