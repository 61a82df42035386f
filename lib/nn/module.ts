import { Parameter } from '../tensor/parameter.js';
import type { Dtype, NumberArray, Tensor } from '../tensor/tensor.js';

/** What a state dict's entry is read from. */
export interface StateEntry {
  shape: readonly number[];
  data: NumberArray;
}

/**
 * A part of a model: parameters and child modules under the reference's names, in the order of their registration,
 * which is the order of the reference's `state_dict`.
 */
export abstract class Module {
  readonly #tensors = new Map<string, Tensor>();
  readonly #children = new Map<string, Module>();

  /** Registers a parameter of uninitialised memory. */
  protected parameter(name: string, shape: readonly number[], dtype: Dtype = 'f32'): Parameter {
    const parameter = Parameter.empty(shape, dtype);
    this.#tensors.set(name, parameter);
    return parameter;
  }

  /** Registers a tensor that is saved but not trained. */
  protected buffer(name: string, tensor: Tensor): Tensor {
    tensor.moveTo(null);
    this.#tensors.set(name, tensor);
    return tensor;
  }

  /** Registers a child. */
  protected child<T extends Module>(name: string, module: T): T {
    this.#children.set(name, module);
    return module;
  }

  /** Registers numbered children: `name.0`, `name.1`, … */
  protected children<T extends Module>(name: string, modules: T[]): T[] {
    for (const [i, module] of modules.entries()) this.child(`${name}.${i}`, module);
    return modules;
  }

  /** Direct children with their names. */
  namedChildren(): [string, Module][] {
    return [...this.#children];
  }

  /** Parameters and buffers with their full names, in state_dict order: own ones, then the children's. */
  stateDict(prefix = ''): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const [name, tensor] of this.#tensors) state.set(prefix + name, tensor);
    for (const [name, module] of this.#children) {
      for (const [key, tensor] of module.stateDict(`${prefix}${name}.`)) state.set(key, tensor);
    }
    return state;
  }

  /** Parameters with their full names, trained or not. */
  namedParameters(): Map<string, Parameter> {
    const named = new Map<string, Parameter>();
    for (const [name, tensor] of this.stateDict()) if (tensor instanceof Parameter) named.set(name, tensor);
    return named;
  }

  /** Every module of the tree, itself first. */
  *modules(): Generator<Module> {
    yield this;
    for (const module of this.#children.values()) yield* module.modules();
  }

  /** Forgets all gradients. */
  clearGrads(): void {
    for (const parameter of this.namedParameters().values()) parameter.clearGrad();
  }

  /**
   * Copies values into parameters by name. Buffers are fixed tables, computed and not read.
   * @returns names without a value, and values without a name
   * @throws Error if a shape differs, naming the tensor and both shapes
   */
  loadStateDict(entries: Map<string, StateEntry>): { missing: string[]; unexpected: string[] } {
    const state = this.stateDict();
    const missing: string[] = [];
    for (const [name, tensor] of state) {
      if (!(tensor instanceof Parameter)) continue;
      const entry = entries.get(name);
      if (entry === undefined) {
        missing.push(name);
        continue;
      }
      if (entry.shape.join() !== tensor.shape.join()) {
        throw new Error(`${name} is [${entry.shape}] in the checkpoint and [${tensor.shape}] in the model`);
      }
      tensor.assign(entry.data);
    }
    return { missing, unexpected: [...entries.keys()].filter((name) => !state.has(name)) };
  }

  /** Gives all memory back; the module is not used again. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) {
      if (tensor instanceof Parameter) tensor.dispose();
      else if (!tensor.released) tensor.release();
    }
  }
}
