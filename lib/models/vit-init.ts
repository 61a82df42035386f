import { native } from '../native/addon.js';
import type { Attention, CrossAttention } from '../nn/attention.js';
import type { LayerNorm } from '../nn/layer-norm.js';
import { Linear } from '../nn/linear.js';
import type { Module } from '../nn/module.js';
import type { Parameter } from '../tensor/parameter.js';
import type { VitEncoder } from './vit-encoder.js';

/** Standard deviation of linear weights and the cls token. */
const deviation = 0.02;
/** timm's trunc_normal_ cuts at ±2 whatever the deviation: hardly ever. */
const cut = 2;

/** Draws weights one after the other, each from a stream of its own, so that they are a function of the seed. */
export class WeightDraws {
  #stream = 2_000_000;

  constructor(private readonly seed: number) {}

  /** Normal with mean 0. */
  normal(parameter: Parameter, std: number): void {
    native.truncatedNormal(parameter.handle, std, cut, this.seed, this.#stream++);
    parameter.refreshCopy();
  }

  /** Uniform between −bound and bound. */
  uniform(parameter: Parameter, bound: number): void {
    native.uniform(parameter.handle, -bound, bound, this.seed, this.#stream++);
    parameter.refreshCopy();
  }

  constant(parameter: Parameter | null, value: number): void {
    if (parameter === null) return;
    native.fill(parameter.handle, value);
    parameter.refreshCopy();
  }

  /** A normal weight and a zero bias. */
  linear(layer: Linear, std = deviation): void {
    this.normal(layer.weight, std);
    this.constant(layer.bias, 0);
  }

  layerNorm(layer: LayerNorm): void {
    this.constant(layer.weight, 1);
    this.constant(layer.bias, 0);
  }

  /** Its projections and zero biases; `divisor` is on the output projection. */
  attention(layer: Attention | CrossAttention, divisor = 1): void {
    this.#linears(layer, layer.proj, divisor);
    this.constant(layer.qBias, 0);
    this.constant(layer.vBias, 0);
  }

  /** The linear layers of a module, the last of them divided. */
  #linears(module: Module, last: Linear, divisor: number): void {
    for (const child of module.modules()) {
      if (child instanceof Linear) this.linear(child, child === last ? deviation / divisor : deviation);
    }
  }

  /** fc1 and fc2, the latter divided. */
  mlp(module: Module & { fc2: Linear }, divisor: number): void {
    this.#linears(module, module.fc2, divisor);
  }
}

/**
 * The reference's initialisation of a classifier's encoder: normal weights of deviation 0.02, those that write into the
 * residual stream of layer l divided by √(2l); zero biases and bias tables, unit gains; the patch convolution as torch
 * initialises one.
 */
export function initializeEncoder(model: VitEncoder, draws: WeightDraws): void {
  draws.normal(model.clsToken, deviation);
  const { weight, bias } = model.patchEmbed.proj;
  const bound = Math.sqrt((weight.shape[0] as number) / weight.size);
  draws.uniform(weight, bound);
  draws.uniform(bias, bound);
  draws.constant(model.relativeBias?.table ?? null, 0);
  model.blocks.forEach((block, i) => {
    const divisor = Math.sqrt(2 * (i + 1));
    draws.layerNorm(block.norm1);
    draws.attention(block.attn, divisor);
    draws.constant(block.attn.biasTable, 0);
    draws.layerNorm(block.norm2);
    draws.mlp(block.mlp, divisor);
    draws.constant(block.gamma1, block.options.layerScale);
    draws.constant(block.gamma2, block.options.layerScale);
  });
  if (model.norm !== null) draws.layerNorm(model.norm);
}
