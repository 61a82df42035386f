import { native } from '../native/addon.js';
import { defaultDevice } from '../tensor/device.js';
import { keep } from '../tensor/scope.js';
import { type Device, type NumberArray, Tensor } from '../tensor/tensor.js';
import {
  type Optimizer,
  type OptimizerStep,
  type StepRates,
  trainedSlots,
  type UpdateOptions,
} from './optimizer.js';
import type { ParameterGroup } from './parameter-groups.js';
import { checkRates, checkUpdate } from './step-checks.js';

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
  readonly #slots: Slot[];
  readonly #betas: [number, number];
  readonly #eps: number;
  readonly #device: Device;
  /** f64 [2]: learning rate and weight decay of the step */
  readonly #rates: Tensor;
  /** f64 [1]: updates made, which bias correction counts */
  readonly #updates: Tensor;

  constructor(groups: readonly ParameterGroup[], options: AdamwOptions = {}) {
    this.#betas = options.betas ?? [0.9, 0.999];
    this.#eps = options.eps ?? 1e-8;
    this.#slots = groups.map((group) => {
      const zeros = (): Tensor =>
        keep(Tensor.zeros(group.parameter.shape, group.parameter.dtype, group.parameter.device));
      return { group, first: zeros(), second: zeros() };
    });
    this.#device = groups[0]?.parameter.device ?? defaultDevice();
    this.#rates = keep(Tensor.zeros([2], 'f64', this.#device));
    this.#updates = keep(Tensor.zeros([1], 'f64', this.#device));
  }

  /** Updates made, those that were skipped left out. Waits for the device. */
  get step(): number {
    return this.#updates.item();
  }

  /**
   * Updates every parameter that has a gradient and is not frozen, and forgets the gradients.
   * @returns the global norm before clipping, a scalar on the device (of the gradients times gradientScale = 1)
   * @throws Error if no parameter has a gradient
   * @throws RangeError for numbers that are not finite, and a negative clip
   */
  update(step: AdamwStep): Tensor {
    this.setRates(step);
    return this.apply(step);
  }

  /** Puts the numbers of the next update in place. @throws RangeError where one is not finite */
  setRates(rates: StepRates): void {
    checkRates(rates);
    native.write(this.#rates.handle, Float64Array.of(rates.lr, rates.weightDecay));
  }

  /** As update, with the rates that are in place: the same work in every step. @throws as update */
  apply(options: UpdateOptions): Tensor {
    checkUpdate(options);
    const { clip = 0, gradientScale = 1, scaler } = options;
    const active = trainedSlots(this.#slots);
    if (active.length === 0) throw new Error('adamw: no parameter has a gradient; call backward first');
    const gradients = active.map(({ group }) => group.parameter.grad!.handle);
    const norm = new Tensor(native.globalNorm(gradients));
    const [beta1, beta2] = this.#betas;
    const scale = scaler?.numbers?.handle ?? null;
    const factors = new Tensor(
      native.adamwFactors(norm.handle, this.#updates.handle, scale, beta1, beta2, clip, gradientScale),
    );
    native.adamw(
      active.map(({ group }) => group.parameter.handle),
      gradients,
      active.map(({ first }) => first.handle),
      active.map(({ second }) => second.handle),
      // Where one has a copy all take part; a parameter without one stands for itself and is not copied.
      active.some(({ group }) => group.parameter.copy !== null)
        ? active.map(({ group }) => (group.parameter.copy ?? group.parameter).handle)
        : [],
      active.map(({ group }) => group.lrScale),
      active.map(({ group }) => group.decay),
      this.#rates.handle,
      factors.handle,
      beta1,
      beta2,
      this.#eps,
    );
    factors.release();
    scaler?.update(norm);
    for (const { group } of this.#slots) if (group.parameter.hasGrad) group.parameter.clearGrad();
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
    native.write(this.#updates.handle, Float64Array.of(step));
  }

  /** Gives the moments' memory back; the optimizer is not used again. */
  dispose(): void {
    for (const { first, second } of this.#slots) {
      first.release();
      second.release();
    }
    this.#rates.release();
    this.#updates.release();
  }
}
