import { PickleInput } from './pickle-input.js';
import { Op, opcodeName } from './pickle-opcodes.js';
import { PickleStack } from './pickle-stack.js';
import {
  defaultPickleLimits,
  PickleContext,
  type PickleData,
  PickledObject,
  PickleGlobal,
  type PickleLimits,
  type PickleValue,
} from './pickle-values.js';

/** What a pickle is read against. */
export interface PickleOptions {
  /** Name of the input in messages. */
  readonly source: string;
  /** The allow-list: what `module.name` stands for, undefined where a pickle may not name it. */
  findGlobal(module: string, name: string): PickleGlobal | undefined;
  /** Resolves a persistent id (PyTorch: a storage). Without it such ids are refused. */
  persistentLoad?(id: PickleValue, context: PickleContext): PickleValue;
  readonly limits?: Partial<PickleLimits>;
  /** Where the pickle starts in the bytes, default 0. */
  readonly offset?: number;
}

export interface PickleResult {
  readonly value: PickleValue;
  /** One past the pickle's last byte. */
  readonly end: number;
}

/**
 * Interprets one pickle (protocols 2 to 5) as data. No code runs: globals come from the allow-list alone, and
 * calling one builds a value of ours. Neither recursion nor memory depends on what the pickle claims: a length must
 * be there in the input, and `limits` bound the rest. The value may contain itself, and share parts.
 *
 * @throws UserError naming the source: a global that is not allowed, truncation, damage, limits passed
 */
export function readPickle(bytes: Uint8Array, options: PickleOptions): PickleResult {
  return new PickleMachine(bytes, options).run();
}

class PickleMachine {
  private readonly context: PickleContext;
  private readonly input: PickleInput;
  private readonly stack: PickleStack;

  constructor(
    bytes: Uint8Array,
    private readonly options: PickleOptions,
  ) {
    this.context = new PickleContext(options.source, { ...defaultPickleLimits, ...options.limits });
    this.input = new PickleInput(bytes, this.context, options.offset ?? 0);
    this.stack = new PickleStack(this.context, this.input);
  }

  run(): PickleResult {
    const { input } = this;
    for (;;) {
      const code = input.uint8();
      if (code === Op.STOP) return { value: this.stack.pop(), end: input.position };
      if (!this.scalar(code) && !this.container(code) && !this.object(code)) this.unsupported(code);
    }
  }

  private unsupported(code: number): never {
    const where = this.input.position - 1;
    throw this.context.error(
      `its pickle has opcode ${opcodeName(code)} at byte ${where}, which is not supported (protocols 2 to 5 are); save it again with a recent torch.save`,
    );
  }

  /** Numbers, text, bytes, the memo and the stack itself. */
  private scalar(code: number): boolean {
    const { input } = this;
    switch (code) {
      case Op.PROTO: {
        const protocol = input.uint8();
        if (protocol > 5)
          throw this.context.error(`its pickle has protocol ${protocol}; save it again with protocol 2`);
        return true;
      }
      case Op.FRAME: {
        const length = input.uint64();
        const here = input.position;
        input.skip(length); // a frame only groups what follows; it must be there
        input.position = here;
        return true;
      }
      case Op.MARK:
        this.stack.mark();
        return true;
      case Op.POP:
        this.stack.drop();
        return true;
      case Op.POP_MARK:
        this.stack.popMark();
        return true;
      case Op.DUP:
        this.stack.push(this.stack.top());
        return true;
      case Op.BINGET:
        this.stack.recall(input.uint8());
        return true;
      case Op.LONG_BINGET:
        this.stack.recall(input.uint32());
        return true;
      case Op.BINPUT:
        this.stack.remember(input.uint8());
        return true;
      case Op.LONG_BINPUT:
        this.stack.remember(input.uint32());
        return true;
      case Op.MEMOIZE:
        this.stack.remember(this.stack.remembered);
        return true;
    }
    const value = this.literal(code);
    if (value === undefined) return false;
    this.stack.push(value);
    return true;
  }

  private literal(code: number): PickleValue | undefined {
    const { input } = this;
    switch (code) {
      case Op.NONE:
        return null;
      case Op.NEWTRUE:
        return true;
      case Op.NEWFALSE:
        return false;
      case Op.BININT:
        return input.int32();
      case Op.BININT1:
        return input.uint8();
      case Op.BININT2:
        return input.uint16();
      case Op.LONG1:
        return input.integer(input.uint8());
      case Op.LONG4:
        return input.integer(input.uint32());
      case Op.INT:
      case Op.LONG:
        return input.decimal();
      case Op.BINFLOAT:
        return input.float64();
      case Op.SHORT_BINUNICODE:
        return input.utf8(input.uint8());
      case Op.BINUNICODE:
        return input.utf8(input.uint32());
      case Op.BINUNICODE8:
        return input.utf8(input.uint64());
      case Op.SHORT_BINSTRING:
        return input.byteString(input.uint8());
      case Op.BINSTRING:
        return input.byteString(input.uint32());
      case Op.SHORT_BINBYTES:
        return input.take(input.uint8());
      case Op.BINBYTES:
        return input.take(input.uint32());
      case Op.BINBYTES8:
      case Op.BYTEARRAY8:
        return input.take(input.uint64());
      default:
        return undefined;
    }
  }

  /** Lists, tuples, dicts, sets. */
  private container(code: number): boolean {
    switch (code) {
      case Op.EMPTY_LIST:
      case Op.EMPTY_TUPLE:
        this.stack.pushNew([], 0);
        return true;
      case Op.EMPTY_DICT:
        this.stack.pushNew(new Map(), 0);
        return true;
      case Op.EMPTY_SET:
        this.stack.pushNew(new Set(), 0);
        return true;
      case Op.TUPLE1:
      case Op.TUPLE2:
      case Op.TUPLE3: {
        const size = code - Op.TUPLE1 + 1;
        const items: PickleValue[] = [];
        for (let i = 0; i < size; i++) items.unshift(this.stack.pop());
        this.stack.pushNew(items, size);
        return true;
      }
      case Op.LIST:
      case Op.TUPLE: {
        const items = this.stack.popMark();
        this.stack.pushNew(items, items.length);
        return true;
      }
      case Op.FROZENSET: {
        const items = this.stack.popMark();
        this.stack.pushNew(new Set(items), items.length);
        return true;
      }
      case Op.APPEND:
        this.extend([this.stack.pop()]);
        return true;
      case Op.APPENDS:
        this.extend(this.stack.popMark());
        return true;
      case Op.ADDITEMS: {
        const items = this.stack.popMark();
        const set = this.stack.top();
        if (!(set instanceof Set)) throw this.mismatch('set');
        this.context.spend(items.length);
        for (const item of items) set.add(item);
        return true;
      }
      case Op.SETITEM: {
        const value = this.stack.pop();
        this.setItems([this.stack.pop(), value]);
        return true;
      }
      case Op.SETITEMS:
        this.setItems(this.stack.popMark());
        return true;
      default:
        return false;
    }
  }

  private extend(items: readonly PickleValue[]): void {
    const list = this.stack.top();
    if (!Array.isArray(list)) throw this.mismatch('list');
    this.context.spend(items.length);
    for (const item of items) list.push(item);
  }

  private setItems(items: readonly PickleValue[]): void {
    const dict = this.stack.top();
    if (!(dict instanceof Map)) throw this.mismatch('dict');
    if (items.length % 2 !== 0) throw this.mismatch('key with a value');
    this.context.spend(items.length);
    for (let i = 0; i < items.length; i += 2) dict.set(items[i] as PickleValue, items[i + 1] as PickleValue);
  }

  private mismatch(wanted: string): Error {
    return this.context.error(
      `its pickle needs a ${wanted} at byte ${this.input.position - 1}; it is damaged`,
    );
  }

  /** Globals, calls, objects, persistent ids. */
  private object(code: number): boolean {
    switch (code) {
      case Op.GLOBAL: {
        const module = this.input.line();
        this.stack.push(this.global(module, this.input.line()));
        return true;
      }
      case Op.STACK_GLOBAL: {
        const name = this.stack.pop();
        const module = this.stack.pop();
        if (typeof name !== 'string' || typeof module !== 'string') throw this.mismatch('name of a global');
        this.stack.push(this.global(module, name));
        return true;
      }
      case Op.REDUCE:
      case Op.NEWOBJ: {
        const args = this.stack.pop();
        this.stack.push(this.call(this.stack.pop(), args));
        return true;
      }
      case Op.NEWOBJ_EX: {
        const keywords = this.stack.pop();
        const args = this.stack.pop();
        if (!(keywords instanceof Map)) throw this.mismatch('dict of keyword arguments');
        this.stack.push(this.call(this.stack.pop(), args, keywords));
        return true;
      }
      case Op.BUILD:
        this.build(this.stack.pop());
        return true;
      case Op.BINPERSID: {
        if (this.options.persistentLoad === undefined)
          throw this.context.error('its pickle refers to data outside it, which is not there');
        this.context.spend(8);
        this.stack.push(this.options.persistentLoad(this.stack.pop(), this.context));
        return true;
      }
      default:
        return false;
    }
  }

  private global(module: string, name: string): PickleGlobal {
    const found = this.options.findGlobal(module, name);
    if (found !== undefined) return found;
    throw this.context.error(
      `its pickle asks for ${printable(`${module}.${name}`)}, which is not allowed: only tensors and plain data are read; if you trust the file, save its state_dict() alone with torch.save`,
    );
  }

  private call(
    callee: PickleValue,
    args: PickleValue,
    keywords?: Map<PickleValue, PickleValue>,
  ): PickleValue {
    if (!(callee instanceof PickleGlobal)) throw this.mismatch('class or function to call');
    if (!Array.isArray(args)) throw this.mismatch('tuple of arguments');
    this.context.spend(8);
    if (callee.construct === undefined) return new PickledObject(callee.module, callee.name, args, keywords);
    if (keywords !== undefined && keywords.size > 0) throw this.mismatch('call without keyword arguments');
    return callee.construct(args, this.context);
  }

  private build(state: PickleValue): void {
    const target: PickleValue | PickleData = this.stack.top();
    if (target instanceof Map) return; // attributes of an OrderedDict (`_metadata`), not its items
    if (!(target instanceof PickledObject) || target.state !== undefined)
      throw this.mismatch('new object to set up');
    target.state = state;
  }
}

/** A name out of a file, safe to show: short and without control characters. */
function printable(text: string): string {
  const short = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return short.replace(/[^\x20-\x7e…]/g, '?');
}
