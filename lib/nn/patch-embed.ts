import { linear } from '../tensor/ops/linear.js';
import { unfoldPatches } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Dtype, Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** The p×p/p convolution's parameters, under the reference's name `proj`. */
class Projection extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(width: number, patchSize: number) {
    super();
    this.weight = this.parameter('weight', [width, 3, patchSize, patchSize]);
    this.bias = this.parameter('bias', [width]);
  }
}

/** A p×p convolution with stride p, as a GEMM over the patches that are asked for. */
export class PatchEmbed extends Module {
  readonly proj: Projection;

  constructor(
    width: number,
    readonly patchSize: number,
  ) {
    super();
    this.proj = this.child('proj', new Projection(width, patchSize));
  }

  /** images [B, 3, H, W], ids i32 [B, K] -> [B, K, C] in `dtype` */
  forward(images: Tensor, ids: Tensor, dtype: Dtype): Tensor {
    const patches = unfoldPatches(images, this.patchSize, ids, dtype);
    return linear(patches, this.proj.weight, this.proj.bias);
  }
}
