import { native } from '../native/addon.js';
import type { Handle } from '../native/bindings.js';
import { keep } from '../tensor/scope.js';
import { type NumberArray, Tensor } from '../tensor/tensor.js';
import type { GradientScaler } from './gradient-scaler.js';
import type { ParameterGroup } from './parameter-groups.js';
import { checkRates, checkUpdate } from './step-checks.js';

/** What a schedule gives each step. */
export interface StepRates {
  lr: number;
  weightDecay: number;
}

/** What is the same in every step. */
export interface UpdateOptions {
  /** largest global L2 norm of the gradients; 0 or absent for no clipping */
  clip?: number | undefined;
  /** multiplies the gradients first */
  gradientScale?: number | undefined;
  /** divides the gradients by its scale first, and is told how the step went */
  scaler?: GradientScaler | undefined;
}

/** One step's numbers. */
export interface OptimizerStep extends StepRates, UpdateOptions {}

/** What trains parameters: all their tensors at once, in one pass over memory. */
export interface Optimizer {
  /** steps taken; AdamW, whose factors depend on it, leaves out those that were skipped. Asking may wait for the device */
  readonly step: number;
  /**
   * Updates every parameter that has a gradient and is not frozen, and forgets the gradients. Gradients that are not
   * finite change nothing; the returned norm tells.
   * @returns the global norm before clipping, a scalar on the device (of the gradients times gradientScale = 1)
   * @throws Error if no parameter has a gradient
   * @throws RangeError for numbers that are not finite, and a negative clip
   */
  update(step: OptimizerStep): Tensor;
  /** Puts the numbers of the next update in place, on the device. @throws RangeError where one is not finite */
  setRates(rates: StepRates): void;
  /** As update, with the rates that are in place: the same work in every step. @throws as update */
  apply(options: UpdateOptions): Tensor;
  /** State by name, for saving. */
  state(): Map<string, Tensor>;
  /**
   * Takes up a saved state.
   * @param read the values of a name in `state()`
   * @param step its value when they were saved
   */
  load(read: (name: string) => NumberArray, step: number): void;
  /** Gives the state's memory back; the optimizer is not used again. */
  dispose(): void;
}

/** Those whose parameter has a gradient and was not frozen since. */
export function trainedSlots<S extends { readonly group: ParameterGroup }>(slots: readonly S[]): S[] {
  return slots.filter(({ group }) => group.parameter.hasGrad && group.parameter.requiresGrad);
}

/** A parameter with its momentum. */
interface Slot {
  group: ParameterGroup;
  buffer: Tensor;
}

/** What a fused kernel takes of the parameters that have a gradient: a list each, in one order. */
export interface MomentumLists {
  groups: ParameterGroup[];
  parameters: Handle[];
  gradients: Handle[];
  buffers: Handle[];
  /** low-precision copies, or empty where no parameter has one */
  copies: Handle[];
  /** factors on the learning rate */
  scales: number[];
  decayed: boolean[];
  /** f64 [2]: learning rate and weight decay of the step */
  rates: Handle;
}

function times(tensor: Tensor, factor: Tensor): Tensor {
  return new Tensor(native.scaleBy(tensor.handle, factor.handle));
}

/** An optimizer whose state is one momentum a parameter. */
export abstract class MomentumOptimizer implements Optimizer {
  step = 0;
  readonly #slots: Slot[];
  readonly #rates: Tensor;

  constructor(groups: readonly ParameterGroup[]) {
    this.#slots = groups.map((group) => {
      const { shape, dtype, device } = group.parameter;
      return { group, buffer: keep(Tensor.zeros(shape, dtype, device)) };
    });
    this.#rates = keep(Tensor.zeros([2], 'f64', groups[0]?.parameter.device));
  }

  /** Runs the fused kernel. */
  protected abstract run(lists: MomentumLists, norm: Handle, clip: number, gradientScale: number): void;

  update(step: OptimizerStep): Tensor {
    checkUpdate(step); // before the step is counted
    this.setRates(step);
    return this.apply(step);
  }

  setRates(rates: StepRates): void {
    checkRates(rates);
    native.write(this.#rates.handle, Float64Array.of(rates.lr, rates.weightDecay));
    this.step += 1;
  }

  apply(options: UpdateOptions): Tensor {
    checkUpdate(options);
    const { clip = 0, gradientScale = 1, scaler } = options;
    const active = trainedSlots(this.#slots);
    if (active.length === 0) throw new Error('optimizer: no parameter has a gradient; call backward first');
    const groups = active.map(({ group }) => group);
    const scaled = groups.map(({ parameter }) => parameter.grad!);
    const norm = new Tensor(native.globalNorm(scaled.map(({ handle }) => handle)));
    // The kernels know no loss scale: it is taken off before.
    const inverse = scaler?.inverse(norm.dtype) ?? null;
    const unscaled = inverse === null ? scaled : [norm, ...scaled].map((tensor) => times(tensor, inverse));
    const trueNorm = inverse === null ? norm : unscaled.shift()!;
    const gradients = unscaled.map(({ handle }) => handle);
    const copied = groups.some(({ parameter }) => parameter.copy !== null);
    const lists = {
      groups,
      parameters: groups.map(({ parameter }) => parameter.handle),
      gradients,
      buffers: active.map(({ buffer }) => buffer.handle),
      // Where one has a copy all take part; a parameter without one stands for itself and is not copied.
      copies: copied ? groups.map(({ parameter }) => (parameter.copy ?? parameter).handle) : [],
      scales: groups.map(({ lrScale }) => lrScale),
      decayed: groups.map(({ decay }) => decay),
      rates: this.#rates.handle,
    };
    this.run(lists, trueNorm.handle, clip, gradientScale);
    if (inverse !== null) for (const tensor of [inverse, trueNorm, ...unscaled]) tensor.release();
    scaler?.update(norm);
    for (const { group } of this.#slots) if (group.parameter.hasGrad) group.parameter.clearGrad();
    return norm;
  }

  /** Momenta: `momentum_buffer.<name>`, as PyTorch calls them. */
  state(): Map<string, Tensor> {
    return new Map(this.#slots.map(({ group, buffer }) => [`momentum_buffer.${group.name}`, buffer]));
  }

  load(read: (name: string) => NumberArray, step: number): void {
    for (const [name, tensor] of this.state()) {
      const source = Tensor.from(read(name), tensor.shape);
      native.copyInto(source.handle, tensor.handle);
      source.release();
    }
    this.step = step;
  }

  dispose(): void {
    for (const { buffer } of this.#slots) buffer.release();
    this.#rates.release();
  }
}
