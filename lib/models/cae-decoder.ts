import { Block, dropPathRates, type Pass } from '../nn/block.js';
import { throughBlocks } from '../nn/block-stack.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Linear } from '../nn/linear.js';
import { Module } from '../nn/module.js';
import { add } from '../tensor/ops/pointwise.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { CaeConfig } from './cae-config.js';

/** Ordinary blocks over the predicted latents, then a linear layer to the tokenizer's vocabulary. */
export class CaeDecoder extends Module {
  readonly blocks: Block[];
  readonly norm: LayerNorm;
  readonly head: Linear;

  constructor(config: CaeConfig, stream: number) {
    super();
    const width = config.decoderEmbedDim;
    const rates = dropPathRates(config.dropPath, config.decoderDepth);
    this.blocks = this.children(
      'decoder_blocks',
      rates.map(
        (rate, i) =>
          new Block({
            width,
            heads: config.decoderNumHeads,
            mlpRatio: config.mlpRatio,
            dropPath: rate,
            layerScale: config.decoderLayerScaleInitValue,
            stream: stream + 4 * i,
          }),
      ),
    );
    this.norm = this.child('norm', new LayerNorm(width));
    this.head = this.child('head', new Linear(width, config.decoderNumClasses));
  }

  /** latentPredict and positions [B, M, D] -> logits [B, M, vocabulary] in the pass's dtype */
  forward(latentPredict: Tensor, positions: Tensor, pass: Pass): Tensor {
    return scope(() => {
      const stream = throughBlocks(this.blocks, add(latentPredict, positions), pass);
      return this.head.forward(this.norm.split(stream, pass.dtype).normal);
    });
  }
}
