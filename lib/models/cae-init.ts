import { native } from '../native/addon.js';
import { Attention, CrossAttention } from '../nn/attention.js';
import { Block, CrossBlock } from '../nn/block.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Linear } from '../nn/linear.js';
import type { Module } from '../nn/module.js';
import type { Parameter } from '../tensor/parameter.js';
import type { Cae } from './cae.js';

/** Standard deviation of the truncated normal, cut at one of it on each side. */
const deviation = 0.02;

/**
 * The reference's initialisation: truncated normal (std 0.02, cut at ±0.02) for weights and tokens, zero biases, unit
 * gains, layer scales at their value; output projections of layer l divided by √(2l). Then, unless
 * `fixInitWeight`, every Linear is drawn again xavier-uniform with zero bias, which undoes the division. Every
 * parameter has its own stream of draws, so that the weights are a function of the seed.
 */
export function initializeCae(model: Cae, seed: number, fixInitWeight: boolean): void {
  let stream = 1_000_000;
  const normal = (parameter: Parameter, divisor = 1): void => {
    const std = deviation / divisor;
    native.truncatedNormal(parameter.handle, std, std, seed, stream++);
  };
  const draw = (layer: Linear, divisor = 1): void => {
    if (fixInitWeight) {
      normal(layer.weight, divisor);
    } else {
      const bound = Math.sqrt(6 / (layer.inFeatures + layer.outFeatures));
      native.uniform(layer.weight.handle, -bound, bound, seed, stream++);
    }
    if (layer.bias !== null) native.fill(layer.bias.handle, 0);
  };

  const divisors = outputDivisors(model);
  for (const module of model.modules()) {
    if (module instanceof Linear) {
      draw(module, divisors.get(module));
    } else if (module instanceof LayerNorm) {
      native.fill(module.weight.handle, 1);
      native.fill(module.bias.handle, 0);
    } else if (module instanceof Attention || module instanceof CrossAttention) {
      native.fill(module.qBias.handle, 0);
      native.fill(module.vBias.handle, 0);
    } else if (module instanceof Block || module instanceof CrossBlock) {
      const { layerScale } = module.options;
      // A regressor block without layer scale keeps fixed factors of one.
      for (const gamma of [module.gamma1, module.gamma2]) {
        if (gamma !== null) native.fill(gamma.handle, layerScale > 0 ? layerScale : 1);
      }
    }
  }
  normal(model.encoder.patchEmbed.proj.weight);
  native.fill(model.encoder.patchEmbed.proj.bias.handle, 0);
  normal(model.encoder.clsToken);
  normal(model.maskToken);
  for (const parameter of model.namedParameters().values()) parameter.refreshCopy();
}

/** √(2l) for the projections that write into the residual stream of layer l = 1, 2, … of their stack. */
function outputDivisors(model: Cae): Map<Module, number> {
  const divisors = new Map<Module, number>();
  for (const blocks of [model.encoder.blocks, model.decoder.blocks]) {
    blocks.forEach((block, i) => {
      divisors.set(block.attn.proj, Math.sqrt(2 * (i + 1)));
      divisors.set(block.mlp.fc2, Math.sqrt(2 * (i + 1)));
    });
  }
  model.regressor.blocks.forEach((block, i) => {
    divisors.set(block.crossAttn.proj, Math.sqrt(2 * (i + 1)));
    divisors.set(block.mlp.fc2, Math.sqrt(2 * (i + 1)));
  });
  return divisors;
}
