import type { Pass } from '../nn/block.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Linear } from '../nn/linear.js';
import { Module, type StateEntry } from '../nn/module.js';
import { positionTable } from '../nn/position-table.js';
import { crossEntropy, mse } from '../tensor/ops/loss.js';
import { add, cast, reshape } from '../tensor/ops/pointwise.js';
import { concatTokens, gatherPositions, repeatToken, sliceTokens } from '../tensor/ops/tokens.js';
import type { Parameter } from '../tensor/parameter.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { type CaeConfig, checkConfig, gridSize } from './cae-config.js';
import { CaeDecoder } from './cae-decoder.js';
import { CaeEncoder } from './cae-encoder.js';
import { initializeCae } from './cae-init.js';
import { CaeRegressor } from './cae-regressor.js';

/** A batch as the model sees it. Patches are numbered in raster order. */
export interface CaeInput {
  /** [B, 3, H, W], normalised */
  images: Tensor;
  /** i32 [B, V]: the patches to see, ascending */
  visible: Tensor;
  /** i32 [B, M]: the patches to predict, ascending */
  masked: Tensor;
}

/** What a forward pass predicts. */
export interface CaePrediction {
  /** [B·M, vocabulary], image by image */
  logits: Tensor;
  /** [B, M, D], f32 */
  latentPredict: Tensor;
  /** [B, M, D], f32, without gradient */
  latentTarget: Tensor;
}

/** Scalars of a step; `lossAlign` holds its weight already. */
export interface CaeLosses {
  loss: Tensor;
  lossMain: Tensor;
  lossAlign: Tensor;
  accuracy: Tensor;
}

/** Context AutoEncoder (Chen et al., arXiv:2202.03026): encoder, alignment pass, latent regressor, decoder. */
export class Cae extends Module {
  readonly maskToken: Parameter;
  readonly positions: Tensor;
  readonly encoder: CaeEncoder;
  readonly projection: Linear | null;
  readonly projectionNorm: LayerNorm | null;
  readonly regressor: CaeRegressor;
  readonly decoder: CaeDecoder;

  /** @throws UserError for sizes that make no model */
  constructor(readonly config: CaeConfig) {
    super();
    checkConfig(config);
    const { embedDim, decoderEmbedDim: width } = config;
    const grid = gridSize(config);
    const projected = embedDim !== width;
    this.positions = this.buffer(
      'rd_pos_embed',
      Tensor.from(positionTable(grid, grid, width), [1, 1 + grid * grid, width]),
    );
    this.maskToken = this.parameter('mask_token', [1, 1, width]);
    this.encoder = this.child('encoder', new CaeEncoder(config, 0));
    this.regressor = this.child('regresser', new CaeRegressor(config, 1000));
    this.decoder = this.child('decoder', new CaeDecoder(config, 2000));
    this.projection = projected ? this.child('encoder_to_regresser', new Linear(embedDim, width)) : null;
    this.projectionNorm = projected ? this.child('encoder_to_regresser_norm', new LayerNorm(width)) : null;
  }

  /** Draws all weights, a function of the seed (reference.md: initialisation). */
  initialize(seed: number, fixInitWeight = false): void {
    initializeCae(this, seed, fixInitWeight);
  }

  /**
   * The state as the reference names and orders it: `alignment_encoder.*` stands behind the encoder, as the same
   * tensors.
   */
  referenceStateDict(): Map<string, Tensor> {
    const state = [...this.stateDict()];
    const start = state.findIndex(([name]) => name.startsWith('encoder.'));
    const encoder = [...this.encoder.stateDict()];
    const aliases = encoder.map(([name, tensor]): [string, Tensor] => [`alignment_encoder.${name}`, tensor]);
    return new Map([
      ...state.slice(0, start + encoder.length),
      ...aliases,
      ...state.slice(start + encoder.length),
    ]);
  }

  /** As Module's; the alignment encoder's values, which equal the encoder's, are passed over. */
  override loadStateDict(entries: Map<string, StateEntry>): { missing: string[]; unexpected: string[] } {
    const own = [...entries].filter(([name]) => !name.startsWith('alignment_encoder.'));
    return super.loadStateDict(new Map(own));
  }

  /** Predicts tokens and latents of the masked patches. */
  predict(input: CaeInput, pass: Pass): CaePrediction {
    return scope(() => {
      const { images, visible, masked } = input;
      const encoded = this.encoder.forward(images, visible, pass);
      const latentTarget = noGrad(() => scope(() => this.#target(images, masked, pass)));
      const latents = scope(() => sliceTokens(this.#project(encoded, pass), 1, visible.shape[1]!));
      const maskedPositions = gatherPositions(this.positions, masked);
      const allPositions = scope(() =>
        concatTokens(gatherPositions(this.positions, visible), maskedPositions),
      );
      const queries = repeatToken(this.maskToken, masked.shape[0]!, masked.shape[1]!, 'f32');
      const latentPredict = this.regressor.forward(queries, latents, maskedPositions, allPositions, pass);
      const perImage = this.decoder.forward(latentPredict, maskedPositions, pass);
      const logits = reshape(perImage, [masked.size, this.config.decoderNumClasses]);
      return { logits, latentPredict, latentTarget };
    });
  }

  /**
   * A training step's losses: cross-entropy of the masked tokens + alignLossWeight·MSE of the latents.
   * @param input with `labels` i32 [B·M], the tokens of the masked patches
   */
  forward(input: CaeInput & { labels: Tensor }, pass: Pass): CaeLosses {
    return scope(() => this.losses(this.predict(input, pass), input.labels, true));
  }

  /** @param consume whether the logits may be overwritten by their gradient */
  losses(
    { logits, latentPredict, latentTarget }: CaePrediction,
    labels: Tensor,
    consume: boolean,
  ): CaeLosses {
    return scope(() => {
      const { loss: lossMain, accuracy } = crossEntropy(logits, labels, consume);
      const distance = mse(latentPredict, latentTarget);
      const lossAlign = add(distance, distance, this.config.alignLossWeight, 0);
      return { loss: add(lossMain, lossAlign), lossMain, lossAlign, accuracy };
    });
  }

  /**
   * latent_target: the masked patches through the encoder at its current weights, without gradient. The reference
   * calls this the alignment encoder; its parameters share the encoder's storage.
   */
  #target(images: Tensor, masked: Tensor, pass: Pass): Tensor {
    const encoded = this.#project(this.encoder.forward(images, masked, pass, 2), pass);
    return sliceTokens(encoded, 1, masked.shape[1]!);
  }

  #project(encoded: Tensor, pass: Pass): Tensor {
    if (this.projection === null || this.projectionNorm === null) return encoded;
    const projected = this.projection.forward(cast(encoded, pass.dtype));
    return this.projectionNorm.forward(cast(projected, 'f32'));
  }
}
