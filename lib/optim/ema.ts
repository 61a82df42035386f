import { native } from '../native/addon.js';
import type { Module, StateEntry } from '../nn/module.js';
import { keep } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

/**
 * A running average of a model's weights and running statistics: after each step
 * average ← decay·average + (1 − decay)·weight, in one pass over memory. It starts as a copy.
 */
export class WeightAverage {
  readonly #averages = new Map<string, Tensor>();

  /** @param decay for example 0.9999 */
  constructor(
    private readonly model: Module,
    private readonly decay: number,
  ) {
    for (const [name, parameter] of model.namedParameters()) {
      this.#averages.set(name, keep(new Tensor(native.cast(parameter.handle, parameter.dtype))));
    }
  }

  /** Takes the weights in; called after each step of the optimizer. */
  update(): void {
    const averages: Tensor[] = [];
    const values: Tensor[] = [];
    for (const [name, parameter] of this.model.namedParameters()) {
      const average = this.#average(name);
      if (parameter.dtype === 'i32') native.copyInto(parameter.handle, average.handle);
      else {
        averages.push(average);
        values.push(parameter);
      }
    }
    native.movingAverage(
      averages.map(({ handle }) => handle),
      values.map(({ handle }) => handle),
      this.decay,
    );
  }

  /** The model's state with averages in place of its weights, for saving: its fixed tables are the model's own. */
  stateDict(): Map<string, Tensor> {
    return new Map(
      [...this.model.stateDict()].map(([name, tensor]) => [name, this.#averages.get(name) ?? tensor]),
    );
  }

  /** Takes up saved averages. @throws Error if one is missing or of another shape */
  load(entries: ReadonlyMap<string, StateEntry>): void {
    for (const [name, average] of this.#averages) {
      const entry = entries.get(name);
      if (entry === undefined) throw new Error(`the running average lacks ${name}`);
      if (entry.shape.join() !== average.shape.join()) {
        throw new Error(`${name} is [${entry.shape}] in the running average and [${average.shape}] here`);
      }
      const source = Tensor.from(entry.data, average.shape);
      native.copyInto(source.handle, average.handle);
      source.release();
    }
  }

  /** Exchanges the model's weights with the averages: called once to measure the average, and again to train on. */
  swap(): void {
    for (const [name, parameter] of this.model.namedParameters()) {
      const average = this.#average(name);
      const held = new Tensor(native.cast(parameter.handle, parameter.dtype));
      native.copyInto(average.handle, parameter.handle);
      native.copyInto(held.handle, average.handle);
      held.release();
      parameter.refreshCopy();
    }
  }

  /** Gives its memory back; the model is the caller's. */
  dispose(): void {
    for (const average of this.#averages.values()) average.release();
  }

  #average(name: string): Tensor {
    const average = this.#averages.get(name);
    if (average === undefined) throw new Error(`the model has got a parameter ${name} since`);
    return average;
  }
}
