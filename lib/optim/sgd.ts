import { native } from '../native/addon.js';
import type { Handle } from '../native/bindings.js';
import { type MomentumLists, MomentumOptimizer } from './optimizer.js';
import type { ParameterGroup } from './parameter-groups.js';

export interface SgdOptions {
  /** default 0.9 */
  momentum?: number;
  /** look ahead along the momentum; default false */
  nesterov?: boolean;
}

/** Stochastic gradient descent with momentum, as PyTorch's: weight decay is part of the gradient. */
export class Sgd extends MomentumOptimizer {
  readonly #momentum: number;
  readonly #nesterov: boolean;

  constructor(groups: readonly ParameterGroup[], options: SgdOptions = {}) {
    super(groups);
    this.#momentum = options.momentum ?? 0.9;
    this.#nesterov = options.nesterov ?? false;
  }

  protected override run(lists: MomentumLists, norm: Handle, clip: number, gradientScale: number): void {
    const { parameters, gradients, buffers, copies, scales, decayed, rates } = lists;
    native.sgd(
      parameters,
      gradients,
      buffers,
      copies,
      scales,
      decayed,
      rates,
      norm,
      this.#momentum,
      this.#nesterov,
      clip,
      gradientScale,
    );
  }
}
