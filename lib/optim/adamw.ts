import { native } from '../native/addon.js';
import { keep } from '../tensor/scope.js';
import { type NumberArray, Tensor } from '../tensor/tensor.js';
import type { Optimizer, OptimizerStep } from './optimizer.js';
import type { ParameterGroup } from './parameter-groups.js';

export interface AdamwOptions {
  /** default (0.9, 0.999) */
  betas?: [number, number];
  /** default 1e-8 */
  eps?: number;
}

/** One step's numbers. */
export type AdamwStep = OptimizerStep;

interface Slot {
  group: ParameterGroup;
  first: Tensor;
  second: Tensor;
}

/**
 * AdamW with decoupled weight decay over all tensors at once: clipping, moments, weights and their low-precision
 * copies in one pass over memory. Gradients that are not finite change nothing; the returned norm tells.
 */
export class AdamW implements Optimizer {
  /** steps taken; bias correction counts them */
  step = 0;
  readonly #slots: Slot[];
  readonly #betas: [number, number];
  readonly #eps: number;

  constructor(groups: readonly ParameterGroup[], options: AdamwOptions = {}) {
    this.#betas = options.betas ?? [0.9, 0.999];
    this.#eps = options.eps ?? 1e-8;
    this.#slots = groups.map((group) => {
      const zeros = (): Tensor =>
        keep(Tensor.zeros(group.parameter.shape, group.parameter.dtype, group.parameter.device));
      return { group, first: zeros(), second: zeros() };
    });
  }

  /**
   * Updates every parameter that has a gradient, and forgets the gradients.
   * @returns the global norm before clipping, a scalar on the device (of the gradients times gradientScale = 1)
   * @throws Error if no parameter has a gradient
   */
  update({ lr, weightDecay, clip = 0, gradientScale = 1 }: AdamwStep): Tensor {
    const active = this.#slots.filter(({ group }) => group.parameter.hasGrad);
    if (active.length === 0) throw new Error('adamw: no parameter has a gradient; call backward first');
    const gradients = active.map(({ group }) => group.parameter.grad!.handle);
    const norm = new Tensor(native.globalNorm(gradients));
    this.step += 1;
    native.adamw(
      active.map(({ group }) => group.parameter.handle),
      gradients,
      active.map(({ first }) => first.handle),
      active.map(({ second }) => second.handle),
      // Where one has a copy all take part; a parameter without one stands for itself and is not copied.
      active.some(({ group }) => group.parameter.copy !== null)
        ? active.map(({ group }) => (group.parameter.copy ?? group.parameter).handle)
        : [],
      active.map(({ group }) => lr * group.lrScale),
      active.map(({ group }) => (group.decay ? weightDecay : 0)),
      norm.handle,
      this.#betas[0],
      this.#betas[1],
      this.#eps,
      this.step,
      clip,
      gradientScale,
    );
    for (const { group } of active) group.parameter.clearGrad();
    return norm;
  }

  /** Moments by name, for saving: `exp_avg.<name>` and `exp_avg_sq.<name>`, as PyTorch calls them. */
  state(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const { group, first, second } of this.#slots) {
      state.set(`exp_avg.${group.name}`, first);
      state.set(`exp_avg_sq.${group.name}`, second);
    }
    return state;
  }

  /**
   * Takes up saved moments.
   * @param read the values of a name in `state()`
   * @param step steps taken when they were saved
   */
  load(read: (name: string) => NumberArray, step: number): void {
    for (const [name, tensor] of this.state()) {
      const source = Tensor.from(read(name), tensor.shape);
      native.copyInto(source.handle, tensor.handle);
      source.release();
    }
    this.step = step;
  }

  /** Gives the moments' memory back; the optimizer is not used again. */
  dispose(): void {
    for (const { first, second } of this.#slots) {
      first.release();
      second.release();
    }
  }
}
