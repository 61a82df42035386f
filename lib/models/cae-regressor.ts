import { CrossBlock, dropPathRates, type Pass } from '../nn/block.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Module } from '../nn/module.js';
import { add } from '../tensor/ops/pointwise.js';
import { type ResidualStream, summed } from '../tensor/ops/residual-norm.js';
import { concatTokens } from '../tensor/ops/tokens.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { CaeConfig } from './cae-config.js';

/** The latent contextual regressor: queries for the masked patches read the visible latents and each other. */
export class CaeRegressor extends Module {
  readonly blocks: CrossBlock[];
  readonly norm: LayerNorm;

  constructor(config: CaeConfig, stream: number) {
    super();
    const width = config.decoderEmbedDim;
    const rates = dropPathRates(config.dropPath, config.regressorDepth);
    this.blocks = this.children(
      'regressor_blocks',
      rates.map(
        (rate, i) =>
          new CrossBlock({
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
  }

  /**
   * @param queries [B, M, D], the mask token repeated
   * @param visible latents of the visible patches [B, V, D], the same for every block
   * @param maskedPositions [B, M, D]
   * @param allPositions of [visible ; masked], [B, N, D]
   * @returns latent_predict [B, M, D]
   */
  forward(
    queries: Tensor,
    visible: Tensor,
    maskedPositions: Tensor,
    allPositions: Tensor,
    pass: Pass,
  ): Tensor {
    return scope(() => {
      let stream: ResidualStream = queries;
      for (const block of this.blocks) {
        const current = summed(stream);
        stream = scope(() => {
          const keysValues = concatTokens(visible, current);
          return block.forward(current, add(current, maskedPositions), keysValues, allPositions, pass);
        });
      }
      return this.norm.forward(stream);
    });
  }
}
