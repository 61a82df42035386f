import { Block, dropPathRates, type Pass } from '../nn/block.js';
import { throughBlocks } from '../nn/block-stack.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Module } from '../nn/module.js';
import { PatchEmbed } from '../nn/patch-embed.js';
import { positionTable } from '../nn/position-table.js';
import { RelativePositionBias } from '../nn/relative-position.js';
import { type ResidualStream, summed } from '../tensor/ops/residual-norm.js';
import { embedTokens } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import { keep, scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { gridSize } from './cae-config.js';
import { checkVitConfig, type VitConfig } from './vit-config.js';

/** Streams of random draws a block has: two for its halves, two that pretraining's alignment pass would use. */
const streamsPerBlock = 4;

/**
 * The vision transformer over whole pictures, what classifiers and probes stand on: the pretraining encoder's
 * parameters under the same names, and relative position biases where asked for.
 */
export abstract class VitEncoder extends Module {
  readonly clsToken: Parameter;
  readonly patchEmbed: PatchEmbed;
  readonly relativeBias: RelativePositionBias | null;
  readonly blocks: Block[];
  readonly norm: LayerNorm | null;
  /** [1, 1+N, C]; zeros where the model has no positions */
  readonly #positions: Tensor;
  /** i32 [B, N], all patches of every picture, by B */
  readonly #ids = new Map<number, Tensor>();

  /**
   * @param withNorm whether a LayerNorm over all tokens ends it
   * @throws UserError for sizes that make no model
   */
  constructor(
    readonly config: VitConfig,
    withNorm: boolean,
  ) {
    super();
    checkVitConfig(config);
    const { embedDim: width, depth, numHeads: heads, mlpRatio, layerScaleInitValue: layerScale } = config;
    const side = gridSize(config);
    const shape = [1, 1 + side * side, width];
    this.clsToken = this.parameter('cls_token', [1, 1, width]);
    this.#positions = config.sinPosEmb
      ? this.buffer('pos_embed', Tensor.from(positionTable(side, side, width), shape))
      : keep(Tensor.zeros(shape));
    this.patchEmbed = this.child('patch_embed', new PatchEmbed(width, config.patchSize));
    this.relativeBias = config.sharedRelPosBias
      ? this.child('rel_pos_bias', new RelativePositionBias(side, side, heads))
      : null;
    const window = config.relPosBias ? { height: side, width: side } : null;
    this.blocks = this.children(
      'blocks',
      dropPathRates(config.dropPath, depth).map((dropPath, i) => {
        const stream = streamsPerBlock * i;
        return new Block({ width, heads, mlpRatio, dropPath, layerScale, stream, window });
      }),
    );
    this.norm = withNorm ? this.child('norm', new LayerNorm(width)) : null;
  }

  /** Classes it tells. */
  get classes(): number {
    return this.config.numClasses;
  }

  /** The residual stream behind a block, not yet normalised: see stream. */
  tokens(images: Tensor, pass: Pass, blocks = this.blocks.length): Tensor {
    return scope(() => summed(this.stream(images, pass, blocks)));
  }

  /**
   * The residual stream behind a block, its last branch maybe pending, for the norm behind it.
   * @param images [B, 3, H, W]
   * @param blocks how many blocks to run, all by default
   * @returns f32 [B, 1+N, C], the cls token first
   * @throws Error if the pictures are of another size than the model's
   */
  stream(images: Tensor, pass: Pass, blocks = this.blocks.length): ResidualStream {
    const { imageSize } = this.config;
    const [batch, channels, height, width] = images.shape;
    if (channels !== 3 || height !== imageSize || width !== imageSize) {
      throw new Error(`images are [${images.shape}], the model takes [B, 3, ${imageSize}, ${imageSize}]`);
    }
    return scope(() => {
      const x = scope(() => this.#embed(images, batch as number, pass));
      const bias = this.relativeBias?.forward() ?? null;
      return throughBlocks(this.blocks.slice(0, blocks), x, pass, 0, bias);
    });
  }

  #embed(images: Tensor, batch: number, pass: Pass): Tensor {
    const ids = this.#allPatches(batch);
    const embedded = this.patchEmbed.forward(images, ids, pass.dtype);
    return embedTokens(embedded, this.clsToken, this.#positions, ids);
  }

  #allPatches(batch: number): Tensor {
    const known = this.#ids.get(batch);
    if (known !== undefined) return known;
    const patches = gridSize(this.config) ** 2;
    const values = Int32Array.from({ length: batch * patches }, (_, i) => i % patches);
    const ids = keep(Tensor.from(values, [batch, patches], this.clsToken.device));
    this.#ids.set(batch, ids);
    return ids;
  }

  override dispose(): void {
    super.dispose();
    for (const ids of this.#ids.values()) ids.release();
    this.#ids.clear();
    if (!this.#positions.released) this.#positions.release();
  }
}
