import { activated, type Recomputed } from '../tensor/ops/recomputed.js';
import type { Tensor } from '../tensor/tensor.js';
import { Linear } from './linear.js';
import { Module } from './module.js';

/** fc1 → exact GELU → fc2. */
export class Mlp extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor(width: number, hidden: number) {
    super();
    this.fc1 = this.child('fc1', new Linear(width, hidden));
    this.fc2 = this.child('fc2', new Linear(hidden, width));
  }

  forward(x: Tensor | Recomputed): Tensor {
    return this.fc2.forward(activated(this.fc1.forward(x)));
  }
}
