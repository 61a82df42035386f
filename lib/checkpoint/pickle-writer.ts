import { UserError } from '../errors.js';
import { Op } from './pickle-opcodes.js';

/** Deeper nesting is no checkpoint's, and Python's reader would refuse it too. */
const maxDepth = 200;

/** A float, where a plain number that is whole would be written as an int. */
export class PickleFloat {
  constructor(readonly value: number) {}
}

/** A tuple, where a plain array would be written as a list. */
export class PickleTuple {
  constructor(readonly items: readonly PickleSource[]) {}
}

/** What calling a Python class or function gives; a global alone where `args` is absent. */
export class PickleCall {
  constructor(
    readonly module: string,
    readonly name: string,
    readonly args?: readonly PickleSource[],
    /** Items set on the result, a dict. */
    readonly items?: ReadonlyMap<PickleSource, PickleSource>,
  ) {}
}

/** Data outside the pickle, by its persistent id. */
export class PicklePersistent {
  constructor(readonly id: PickleSource) {}
}

/** What can be written. Containers that occur twice are written once and referred to; they may contain themselves. */
export type PickleSource =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PickleSource[]
  | ReadonlyMap<PickleSource, PickleSource>
  | PickleFloat
  | PickleTuple
  | PickleCall
  | PicklePersistent;

/**
 * Writes one pickle of protocol 2, as `torch.save` does.
 *
 * @param source name of what is written, for messages
 * @throws UserError for nesting without end
 */
export function writePickle(value: PickleSource, source: string): Uint8Array {
  const writer = new PickleWriter(source);
  writer.write(value, 0);
  return writer.finish();
}

class PickleWriter {
  private readonly parts: Uint8Array[] = [Uint8Array.of(Op.PROTO, 2)];
  private readonly memo = new Map<unknown, number>();

  constructor(private readonly source: string) {}

  finish(): Uint8Array {
    this.op(Op.STOP);
    return Buffer.concat(this.parts);
  }

  write(value: PickleSource, depth: number): void {
    if (depth > maxDepth) {
      throw new UserError(
        `${this.source}: holds data nested deeper than ${maxDepth} levels, which is not written`,
      );
    }
    if (value === null) this.op(Op.NONE);
    else if (typeof value === 'boolean') this.op(value ? Op.NEWTRUE : Op.NEWFALSE);
    else if (typeof value === 'number') this.number(value);
    else if (typeof value === 'bigint') this.long(value);
    else if (value instanceof PickleFloat) this.float(value.value);
    else if (value instanceof Uint8Array) this.latin1Bytes(value);
    else if (value instanceof PicklePersistent) {
      this.write(value.id, depth + 1);
      this.op(Op.BINPERSID);
    } else if (!this.recalled(typeof value === 'string' ? `text ${value}` : value)) {
      this.remembered(value, depth);
    }
  }

  /** Values that later ones may refer to. */
  private remembered(value: Exclude<PickleSource, null | boolean | number | bigint>, depth: number): void {
    if (typeof value === 'string') {
      const bytes = Buffer.from(value, 'utf8');
      this.sized(Op.BINUNICODE, bytes.length);
      this.parts.push(bytes);
      this.remember(`text ${value}`);
    } else if (value instanceof PickleTuple) {
      this.tuple(value.items, depth);
      this.remember(value);
    } else if (value instanceof PickleCall) {
      this.call(value, depth);
    } else if (value instanceof Map) {
      this.op(Op.EMPTY_DICT);
      this.remember(value);
      this.setItems(value, depth);
    } else if (Array.isArray(value)) {
      this.op(Op.EMPTY_LIST);
      this.remember(value);
      if (value.length === 0) return;
      this.op(Op.MARK);
      for (const item of value) this.write(item, depth + 1);
      this.op(Op.APPENDS);
    }
  }

  private call({ module, name, args, items }: PickleCall, depth: number): void {
    this.global(module, name);
    if (args === undefined) return;
    this.tuple(args, depth);
    this.op(Op.REDUCE);
    if (items !== undefined) this.setItems(items, depth);
  }

  private global(module: string, name: string): void {
    const key = `global ${module}.${name}`;
    if (this.recalled(key)) return;
    this.parts.push(Buffer.from(`c${module}\n${name}\n`, 'latin1'));
    this.remember(key);
  }

  private tuple(items: readonly PickleSource[], depth: number): void {
    if (items.length === 0) {
      this.op(Op.EMPTY_TUPLE);
      return;
    }
    if (items.length > 3) this.op(Op.MARK);
    for (const item of items) this.write(item, depth + 1);
    this.op([Op.TUPLE1, Op.TUPLE2, Op.TUPLE3][items.length - 1] ?? Op.TUPLE);
  }

  private setItems(items: ReadonlyMap<PickleSource, PickleSource>, depth: number): void {
    if (items.size === 0) return;
    this.op(Op.MARK);
    for (const [key, item] of items) {
      this.write(key, depth + 1);
      this.write(item, depth + 1);
    }
    this.op(Op.SETITEMS);
  }

  private number(value: number): void {
    // -0 would lose its sign as an int.
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.float(value);
    else if (value < -(2 ** 31) || value >= 2 ** 31) this.long(BigInt(value));
    else if (value >= 0 && value < 256) this.parts.push(Uint8Array.of(Op.BININT1, value));
    else this.sized(Op.BININT, value);
  }

  private float(value: number): void {
    const bytes = Buffer.alloc(9);
    bytes[0] = Op.BINFLOAT;
    bytes.writeDoubleBE(value, 1);
    this.parts.push(bytes);
  }

  /** Two's complement, little-endian, as few bytes as hold the sign. */
  private long(value: bigint): void {
    const bytes: number[] = [];
    let rest = value;
    for (;;) {
      bytes.push(Number(rest & 0xffn));
      rest >>= 8n;
      const negative = ((bytes.at(-1) as number) & 0x80) !== 0;
      if ((rest === 0n && !negative) || (rest === -1n && negative)) break;
    }
    if (bytes.length > 255) throw new UserError(`${this.source}: holds an integer of ${bytes.length} bytes`);
    this.parts.push(Uint8Array.of(Op.LONG1, bytes.length, ...bytes));
  }

  /** Protocol 2 has no bytes: Python 3 writes `_codecs.encode(text, 'latin1')`. */
  private latin1Bytes(value: Uint8Array): void {
    this.global('_codecs', 'encode');
    this.tuple([Buffer.from(value).toString('latin1'), 'latin1'], 0);
    this.op(Op.REDUCE);
  }

  /** An opcode and 32 bits, little-endian. */
  private sized(code: number, value: number): void {
    const bytes = Buffer.alloc(5);
    bytes[0] = code;
    bytes.writeInt32LE(value | 0, 1);
    this.parts.push(bytes);
  }

  private op(code: number): void {
    this.parts.push(Uint8Array.of(code));
  }

  private remember(key: unknown): void {
    const index = this.memo.size;
    this.memo.set(key, index);
    if (index < 256) this.parts.push(Uint8Array.of(Op.BINPUT, index));
    else this.sized(Op.LONG_BINPUT, index);
  }

  private recalled(key: unknown): boolean {
    const index = this.memo.get(key);
    if (index === undefined) return false;
    if (index < 256) this.parts.push(Uint8Array.of(Op.BINGET, index));
    else this.sized(Op.LONG_BINGET, index);
    return true;
  }
}
