import { UserError } from '../errors.js';
import { native } from '../native/addon.js';
import { Conv2d, ConvTranspose2d } from '../nn/conv2d.js';
import { Module } from '../nn/module.js';
import { mse } from '../tensor/ops/loss.js';
import { add, cast, reshape } from '../tensor/ops/pointwise.js';
import {
  argmax,
  type GumbelDraw,
  gumbelSoftmax,
  klToUniform,
  lookUpCodes,
  mixCodes,
  relu,
  smoothL1,
} from '../tensor/ops/vision.js';
import type { Parameter } from '../tensor/parameter.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';

/** Sizes of a customized tokenizer, and its loss. */
export interface DiscreteVaeConfig {
  /** default 8192 */
  numTokens: number;
  /** halvings of the picture's side, default 3 */
  numLayers: number;
  numResnetBlocks: number;
  hiddenDim: number;
  codebookDim: number;
  /** smooth L1 in place of the squared error */
  smoothL1Loss?: boolean;
  /** weight of KL(tokens ‖ uniform), default 0 */
  klDivLossWeight?: number;
}

/** x + (3×3, relu, 3×3, relu, 1×1)(x). */
class ResBlock extends Module {
  readonly #layers: Conv2d[];

  constructor(width: number) {
    super();
    const options = { padding: 1, relu: true };
    this.#layers = [
      this.child('net.0', new Conv2d(width, width, 3, options)),
      this.child('net.2', new Conv2d(width, width, 3, options)),
      this.child('net.4', new Conv2d(width, width, 1)),
    ];
  }

  forward(x: Tensor): Tensor {
    return scope(() => {
      let y = x;
      for (const layer of this.#layers) y = layer.forward(y);
      return add(y, x);
    });
  }
}

/** The reference's DiscreteVAE (`--discrete_vae_type customized`): a picture as a grid of codebook entries. */
export class DiscreteVae extends Module {
  readonly vocabulary: number;
  /** pixels a token stands for, along a side */
  readonly reduction: number;
  /** what convolutions compute in: f32 or bf16 */
  computeDtype: Dtype = 'f32';
  readonly codebook: Parameter;
  readonly #encoder: ((x: Tensor) => Tensor)[] = [];
  readonly #decoder: ((x: Tensor) => Tensor)[] = [];

  constructor(readonly config: DiscreteVaeConfig) {
    super();
    const { numTokens, numLayers, numResnetBlocks, hiddenDim: hidden, codebookDim } = config;
    this.vocabulary = numTokens;
    this.reduction = 2 ** numLayers;
    this.codebook = this.parameter('codebook.weight', [numTokens, codebookDim]);
    const append = <T extends Module & { forward(x: Tensor): Tensor }>(
      part: 'encoder' | 'decoder',
      module: T,
      { inner = '', after = (x: Tensor): Tensor => x } = {},
    ): void => {
      const layers = part === 'encoder' ? this.#encoder : this.#decoder;
      this.child(`${part}.${layers.length}${inner}`, module);
      layers.push((x) => after(module.forward(x)));
    };
    for (let i = 0; i < numLayers; i++) {
      const layer = new Conv2d(i === 0 ? 3 : hidden, hidden, 4, { stride: 2, padding: 1, relu: true });
      append('encoder', layer, { inner: '.0' });
    }
    for (let i = 0; i < numResnetBlocks; i++) append('encoder', new ResBlock(hidden));
    append('encoder', new Conv2d(hidden, numTokens, 1));
    if (numResnetBlocks > 0) append('decoder', new Conv2d(codebookDim, hidden, 1));
    for (let i = 0; i < numResnetBlocks; i++) append('decoder', new ResBlock(hidden));
    for (let i = 0; i < numLayers; i++) {
      const from = i === 0 && numResnetBlocks === 0 ? codebookDim : hidden;
      const layer = new ConvTranspose2d(from, hidden, 4, { stride: 2, padding: 1 });
      append('decoder', layer, { inner: '.0', after: relu });
    }
    append('decoder', new Conv2d(hidden, 3, 1));
  }

  /** torch's defaults: convolutions uniform in ±1/√fan-in, a standard normal codebook (cut at three σ). */
  initialize(seed: number): void {
    let stream = 3_000_000;
    let bound = 1;
    for (const [name, parameter] of this.namedParameters()) {
      if (name === 'codebook.weight') {
        native.truncatedNormal(parameter.handle, 1, 3, seed, stream++);
        continue;
      }
      // A bias follows its weight and has the same bound. torch counts a transposed weight's axis 1, too.
      if (parameter.shape.length === 4) bound = 1 / Math.sqrt(parameter.size / parameter.shape[0]!);
      native.uniform(parameter.handle, -bound, bound, seed, stream++);
    }
  }

  /** images [B, H, W, 3] normalised by 0.5/0.5 -> logits [B, h, w, vocabulary] */
  logits(images: Tensor): Tensor {
    return scope(() => this.#run(this.#encoder, cast(images, this.computeDtype)));
  }

  /** Codes [B, h, w, codebookDim] -> pictures [B, H, W, 3], normalised as the input is. */
  draw(codes: Tensor): Tensor {
    return scope(() => this.#run(this.#decoder, codes));
  }

  /** Convolutions in `dtype`; its weights are few, and the decoder's half stays as it is. */
  encodeIn(dtype: Dtype): void {
    this.computeDtype = dtype;
  }

  /** The likeliest tokens, i32 [B, h, w]. */
  encode(images: Tensor): Tensor {
    return noGrad(() => scope(() => argmax(this.logits(images))));
  }

  /** Pictures of tokens i32 [B, h, w], normalised as the input is: [B, H, W, 3]. */
  reconstruct(tokens: Tensor): Tensor {
    return noGrad(() =>
      scope(() => {
        const [batch, height, width] = tokens.shape as [number, number, number];
        const rows = reshape(tokens, [batch, height * width]);
        const codes = lookUpCodes(rows, this.codebook);
        return this.draw(reshape(codes, [batch, height, width, this.config.codebookDim]));
      }),
    );
  }

  /** Pictures of tokens in [0, 1], f32 [B, H, W, 3], not clamped. */
  decode(tokens: Tensor): Tensor {
    return scope(() => {
      const picture = this.reconstruct(tokens);
      const half = Tensor.empty(picture.shape, picture.dtype, picture.device);
      native.fill(half.handle, 0.5);
      return add(picture, half, 0.5, 1);
    });
  }

  /**
   * The training loss: reconstruction through gumbel-softmax mixtures of the codebook, and the KL term.
   * @param images [B, H, W, 3] normalised by 0.5/0.5
   * @param draw the softmax's temperature and its noise
   */
  trainingLosses(
    images: Tensor,
    draw: GumbelDraw & { temperature: number },
  ): { loss: Tensor; lossReconstruction: Tensor; lossKl: Tensor; tokens: Tensor; reconstruction: Tensor } {
    const { smoothL1Loss = false, klDivLossWeight = 0 } = this.config;
    return scope(() => {
      const logits = this.logits(images);
      const soft = gumbelSoftmax(logits, draw.temperature, draw);
      const reconstruction = cast(this.draw(mixCodes(soft, this.codebook)), 'f32');
      const lossReconstruction = (smoothL1Loss ? smoothL1 : mse)(reconstruction, images);
      const weighted = klDivLossWeight !== 0;
      const lossKl = weighted ? klToUniform(logits, 1) : noGrad(() => klToUniform(logits, 1));
      return {
        // A tensor of its own in either case: who reads the losses releases each.
        loss: weighted
          ? add(lossReconstruction, lossKl, 1, klDivLossWeight)
          : add(lossReconstruction, lossReconstruction, 1, 0),
        lossReconstruction,
        lossKl,
        tokens: argmax(logits),
        reconstruction,
      };
    });
  }

  #run(layers: readonly ((x: Tensor) => Tensor)[], input: Tensor): Tensor {
    let x = input;
    for (const layer of layers) x = layer(x);
    return x;
  }
}

/**
 * A tokenizer's sizes from the shapes of its tensors.
 * @throws UserError naming the file, if they are no DiscreteVAE's
 */
export function discreteVaeConfig(
  shapes: ReadonlyMap<string, readonly number[]>,
  source: string,
): DiscreteVaeConfig {
  const codebook = shapes.get('codebook.weight');
  const first = shapes.get('encoder.0.0.weight');
  if (codebook === undefined || first === undefined) {
    throw new UserError(
      `${source} holds no customized tokenizer (no codebook.weight or encoder.0.0.weight); give a folder of train-tokenizer, or choose --discrete_vae_type dall-e`,
    );
  }
  const count = (pattern: RegExp): number => [...shapes.keys()].filter((name) => pattern.test(name)).length;
  return {
    numTokens: codebook[0] ?? 0,
    codebookDim: codebook[1] ?? 0,
    hiddenDim: first[0] ?? 0,
    numLayers: count(/^encoder\.\d+\.0\.weight$/),
    numResnetBlocks: count(/^encoder\.\d+\.net\.0\.weight$/),
  };
}
