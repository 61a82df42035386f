import { native } from '../native/addon.js';
import type { Handle } from '../native/bindings.js';
import { type MomentumLists, MomentumOptimizer } from './optimizer.js';
import type { ParameterGroup } from './parameter-groups.js';

export interface LarsOptions {
  /** default 0.9 */
  momentum?: number;
  /** trust coefficient, default 0.001 */
  trust?: number;
}

/**
 * Layer-wise adaptive rate scaling (You et al., arXiv:1708.03888): each tensor of two axes or more steps by
 * trust·‖weight‖/‖gradient‖ times its gradient. Tensors of one axis are neither scaled nor decayed.
 */
export class Lars extends MomentumOptimizer {
  readonly #momentum: number;
  readonly #trust: number;

  constructor(groups: readonly ParameterGroup[], options: LarsOptions = {}) {
    super(groups);
    this.#momentum = options.momentum ?? 0.9;
    this.#trust = options.trust ?? 0.001;
  }

  protected override run(lists: MomentumLists, norm: Handle, clip: number, gradientScale: number): void {
    const { parameters, gradients, buffers, copies, scales, rates } = lists;
    const scaled = lists.groups.map(({ parameter }) => parameter.shape.length > 1);
    native.lars(
      parameters,
      gradients,
      buffers,
      copies,
      scales,
      lists.decayed.map((decay, i) => decay && scaled[i] === true),
      scaled,
      rates,
      norm,
      this.#momentum,
      this.#trust,
      clip,
      gradientScale,
    );
  }
}
