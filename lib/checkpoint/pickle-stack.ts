import type { UserError } from '../errors.js';
import type { PickleInput } from './pickle-input.js';
import type { PickleContext, PickleValue } from './pickle-values.js';

/** The values a pickle works on: a stack with marks, and a memo of values it refers to again. Both are bounded. */
export class PickleStack {
  private readonly values: PickleValue[] = [];
  /** Stack heights at the open marks. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(
    private readonly context: PickleContext,
    /** Where the pickle is being read, for messages. */
    private readonly input: PickleInput,
  ) {}

  push(value: PickleValue): void {
    if (this.values.length >= this.context.limits.stack) throw this.tooHigh();
    this.values.push(value);
  }

  /** Pushes a new container of `size` items. */
  pushNew(value: PickleValue, size: number): void {
    this.context.spend(8 + size);
    this.push(value);
  }

  /** The top of the stack, which must lie above the innermost mark. */
  top(): PickleValue {
    const floor = this.marks.at(-1) ?? 0;
    const value = this.values.at(-1);
    if (this.values.length <= floor || value === undefined)
      throw this.damaged('takes a value that is not there');
    return value;
  }

  pop(): PickleValue {
    const value = this.top();
    this.values.pop();
    return value;
  }

  mark(): void {
    if (this.marks.length >= this.context.limits.stack) throw this.tooHigh();
    this.marks.push(this.values.length);
  }

  /** Removes and returns the values above the innermost mark, and the mark. */
  popMark(): PickleValue[] {
    const height = this.marks.pop();
    if (height === undefined) throw this.damaged('looks for a mark that is not there');
    return this.values.splice(height);
  }

  /** Drops the top of the stack, which may be a mark. */
  drop(): void {
    if (this.marks.at(-1) === this.values.length) this.marks.pop();
    else this.pop();
  }

  /** Number of values remembered. */
  get remembered(): number {
    return this.memo.size;
  }

  /** Keeps the top of the stack for `recall(index)`. */
  remember(index: number): void {
    if (this.memo.size >= this.context.limits.memo) {
      throw this.context.error(
        `its pickle remembers more than ${this.context.limits.memo} values; it is damaged`,
      );
    }
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.damaged(`refers to value ${index}, which it never made,`);
    this.push(value);
  }

  private tooHigh(): UserError {
    return this.context.error(
      `its pickle stacks more than ${this.context.limits.stack} values; it is damaged`,
    );
  }

  private damaged(what: string): UserError {
    return this.context.error(`its pickle ${what} at byte ${this.input.position - 1}; it is damaged`);
  }
}
