import { native } from '../native/addon.js';
import { batchNorm } from '../tensor/ops/batch-norm.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** How far running statistics move towards a batch's, torch's default. */
const momentum = 0.1;

/**
 * Batch normalisation without gain and shift, as probes have it. Its running statistics are part of the state, under
 * torch's names; they start at mean 0 and variance 1.
 */
export class BatchNorm extends Module {
  readonly runningMean: Parameter;
  readonly runningVariance: Parameter;
  readonly batches: Parameter;

  constructor(
    width: number,
    private readonly eps: number,
  ) {
    super();
    this.runningMean = this.parameter('running_mean', [width]);
    this.runningVariance = this.parameter('running_var', [width]);
    this.batches = this.parameter('num_batches_tracked', [], 'i32');
    for (const statistic of [this.runningMean, this.runningVariance, this.batches]) {
      statistic.requiresGrad = false;
    }
    this.reset();
  }

  /** Forgets the batches seen. */
  reset(): void {
    native.fill(this.runningMean.handle, 0);
    native.fill(this.runningVariance.handle, 1);
    this.batches.assign(Int32Array.of(0));
  }

  /** x [B, C] -> [B, C]; in training by the batch's statistics, else by the running ones */
  forward(x: Tensor, training: boolean): Tensor {
    const running = { mean: this.runningMean, variance: this.runningVariance, batches: this.batches };
    return batchNorm(x, running, momentum, this.eps, training);
  }
}
