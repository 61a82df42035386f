import { UserError } from '../errors.js';

/** Base of what a host rebuilds from a pickle beyond Python's plain data: tensors and their storages. */
export abstract class PickleData {}

/**
 * An object of a Python class, kept as a record: nothing of the class's code exists here, and nothing runs.
 */
export class PickledObject {
  /** What `__setstate__` would have been given, as a rule the object's attributes; undefined before. */
  state: PickleValue | undefined;

  constructor(
    /** Python module of the class. */
    readonly module: string,
    /** Name of the class within it. */
    readonly name: string,
    /** Positional arguments of its construction. */
    readonly args: readonly PickleValue[],
    readonly keywords?: ReadonlyMap<PickleValue, PickleValue>,
  ) {}

  /** An attribute by name, or undefined. */
  attribute(name: string): PickleValue | undefined {
    return this.state instanceof Map ? this.state.get(name) : undefined;
  }
}

/** Builds a value of ours where Python would call a class or function. Must check its arguments. */
export type Construct = (args: readonly PickleValue[], context: PickleContext) => PickleValue;

/** A Python class or function that a pickle may name. Without `construct`, calling it gives a `PickledObject`. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
    readonly construct?: Construct | undefined,
  ) {}
}

/**
 * Python's values as ours: None null, int number (bigint beyond 2^53), float number, bytes Uint8Array, list and
 * tuple arrays, dict Map in order, set Set. So 1 and 1.0 become one value, and a list cannot be told from a tuple.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickledObject
  | PickleGlobal
  | PickleData;

/** What a pickle may use up. A checkpoint of a large model stays a thousand times below. */
export interface PickleLimits {
  /** Values on the stack. */
  readonly stack: number;
  /** Remembered values. */
  readonly memo: number;
  /** Values put into containers, a container or object itself counting 8. */
  readonly items: number;
  /** Bytes of one integer. */
  readonly integerBytes: number;
}

export const defaultPickleLimits: PickleLimits = {
  stack: 1_000_000,
  memo: 1_000_000,
  items: 8_000_000,
  integerBytes: 256,
};

/** What constructors get beside their arguments: the name of the input, for errors, and the budget. */
export class PickleContext {
  private spent = 0;

  constructor(
    /** Name of the input in messages. */
    readonly source: string,
    readonly limits: PickleLimits,
  ) {}

  /** Counts `items` about to be stored; a container or object counts 8. @throws UserError past the limit */
  spend(items: number): void {
    this.spent += items;
    if (this.spent > this.limits.items) {
      throw this.error(
        `its pickle builds more than ${this.limits.items} items, more than any checkpoint needs`,
      );
    }
  }

  error(what: string, cause?: unknown): UserError {
    return new UserError(`${this.source}: ${what}`, 1, cause === undefined ? undefined : { cause });
  }
}
