import { type ConvOptions, conv2d, convTranspose2d } from '../tensor/ops/conv.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

/** Names of a convolution's parameters: torch's, or those of the DALL-E tokenizer. */
export type ConvNames = readonly [weight: string, bias: string];

/** Convolution over NHWC activations. */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    private readonly options: ConvOptions = {},
    [weight, bias]: ConvNames = ['weight', 'bias'],
  ) {
    super();
    this.weight = this.parameter(weight, [outChannels, inChannels, kernel, kernel]);
    this.bias = this.parameter(bias, [outChannels]);
  }

  /** x [B, H, W, in] -> [B, H', W', out] */
  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options);
  }
}

/** Transposed convolution over NHWC activations; its weight is [in, out, k, k]. */
export class ConvTranspose2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    private readonly options: Omit<ConvOptions, 'relu'> = {},
  ) {
    super();
    this.weight = this.parameter('weight', [inChannels, outChannels, kernel, kernel]);
    this.bias = this.parameter('bias', [outChannels]);
  }

  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.options);
  }
}
