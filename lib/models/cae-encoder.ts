import { Block, dropPathRates, type Pass } from '../nn/block.js';
import { throughBlocks } from '../nn/block-stack.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Module } from '../nn/module.js';
import { PatchEmbed } from '../nn/patch-embed.js';
import { positionTable } from '../nn/position-table.js';
import { embedTokens } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { type CaeConfig, gridSize } from './cae-config.js';

/** The vision transformer over the visible patches, and, without gradient, over the masked ones. */
export class CaeEncoder extends Module {
  readonly clsToken: Parameter;
  readonly positions: Tensor;
  readonly patchEmbed: PatchEmbed;
  readonly blocks: Block[];
  readonly norm: LayerNorm;

  /** @param stream first of its blocks' streams of random draws, four a block */
  constructor(config: CaeConfig, stream: number) {
    super();
    const { embedDim: width, depth } = config;
    const grid = gridSize(config);
    this.clsToken = this.parameter('cls_token', [1, 1, width]);
    this.positions = this.buffer(
      'pos_embed',
      Tensor.from(positionTable(grid, grid, width), [1, 1 + grid * grid, width]),
    );
    this.patchEmbed = this.child('patch_embed', new PatchEmbed(width, config.patchSize));
    const rates = dropPathRates(config.dropPath, depth);
    this.blocks = this.children(
      'blocks',
      rates.map(
        (rate, i) =>
          new Block({
            width,
            heads: config.numHeads,
            mlpRatio: config.mlpRatio,
            dropPath: rate,
            layerScale: config.layerScaleInitValue,
            stream: stream + 4 * i,
          }),
      ),
    );
    this.norm = this.child('norm', new LayerNorm(width));
  }

  /**
   * @param images [B, 3, H, W]
   * @param ids patches to encode, i32 [B, K]
   * @param branch 0 for the visible pass, 2 for the alignment pass: its draws of stochastic depth are its own
   * @returns [B, 1+K, C], the cls token first
   */
  forward(images: Tensor, ids: Tensor, pass: Pass, branch: 0 | 2 = 0): Tensor {
    return scope(() => {
      const x = scope(() =>
        embedTokens(this.patchEmbed.forward(images, ids, pass.dtype), this.clsToken, this.positions, ids),
      );
      return this.norm.forward(throughBlocks(this.blocks, x, pass, branch));
    });
  }
}
