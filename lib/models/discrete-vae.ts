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
import { type Dtype, type NumberArray, Tensor } from '../tensor/tensor.js';
import { columnMeans, spreadRows } from './centroids.js';

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
  /** weight of KL(tokens ‖ uniform), summed over a picture's tokens and averaged over pictures; default 0 */
  klDivLossWeight?: number;
}

/** Streams of random draws. */
const initStream = 3_000_000;
const spreadStream = 3_100_000;

/** How much nearer than to the others a feature is to its token at the start, in nats of the logits: about e^−10. */
const initialSharpness = 10;

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
  /** The encoder's last layer, features to logits. */
  readonly #head: Conv2d;
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
    this.#head = new Conv2d(hidden, numTokens, 1);
    append('encoder', this.#head);
    if (numResnetBlocks > 0) append('decoder', new Conv2d(codebookDim, hidden, 1));
    for (let i = 0; i < numResnetBlocks; i++) append('decoder', new ResBlock(hidden));
    for (let i = 0; i < numLayers; i++) {
      const from = i === 0 && numResnetBlocks === 0 ? codebookDim : hidden;
      const layer = new ConvTranspose2d(from, hidden, 4, { stride: 2, padding: 1 });
      append('decoder', layer, { inner: '.0', after: relu });
    }
    append('decoder', new Conv2d(hidden, 3, 1));
  }

  /**
   * Convolutions uniform in ±√(6/fan-in) (He et al., 2015), so that relu layers keep the scale of what they see; biases
   * 0; a standard normal codebook (cut at three σ).
   */
  initialize(seed: number): void {
    let stream = initStream;
    for (const [name, parameter] of this.namedParameters()) {
      if (name === 'codebook.weight') native.truncatedNormal(parameter.handle, 1, 3, seed, stream++);
      else if (parameter.shape.length === 4) {
        // torch counts a transposed weight's axis 1, too.
        const bound = Math.sqrt(6 / (parameter.size / parameter.shape[0]!));
        native.uniform(parameter.handle, -bound, bound, seed, stream++);
      } else native.fill(parameter.handle, 0);
    }
  }

  /**
   * Spreads the tokens over what a batch of pictures shows, before training: features of some places, far from one
   * another, become the tokens' centres; a place's logits fall with the squared distance to them; the codebook's entry
   * is the centre itself (projected where the widths differ). From random logits instead, training soon settles on a
   * few tokens that all places share, since the noise of the gumbel-softmax drowns the rest.
   * @param images [B, H, W, 3] normalised by 0.5/0.5
   */
  spreadTokens(images: Tensor, seed: number): void {
    const { numTokens, hiddenDim: width, codebookDim } = this.config;
    const drawn = (size: number, stream: number, normal: boolean): NumberArray =>
      scope(() => {
        const tensor = Tensor.empty([size]);
        if (normal) native.truncatedNormal(tensor.handle, 1, 3, seed, spreadStream + stream);
        else native.uniform(tensor.handle, 0, 1, seed, spreadStream + stream);
        return tensor.dataSync();
      });
    const data = noGrad(() =>
      scope(() =>
        cast(this.#run(this.#encoder.slice(0, -1), cast(images, this.computeDtype)), 'f32').dataSync(),
      ),
    );
    const { chosen, spread } = spreadRows({ data, width }, drawn(numTokens, 0, false));
    const means = columnMeans({ data, width });
    const centred = (token: number, c: number): number => data[chosen[token]! * width + c]! - means[c]!;
    // −α‖h − centre‖², without the part that is the same for all tokens.
    const alpha = spread > 0 ? initialSharpness / spread : 1;
    const weight = new Float32Array(numTokens * width);
    const bias = new Float32Array(numTokens);
    let squares = 0;
    for (let token = 0; token < numTokens; token++) {
      for (let c = 0; c < width; c++) {
        const offset = centred(token, c);
        weight[token * width + c] = 2 * alpha * offset;
        bias[token]! -= alpha * offset * (offset + 2 * means[c]!);
        squares += offset * offset;
      }
    }
    this.#head.weight.assign(weight);
    this.#head.bias.assign(bias);
    // Entries of unit variance, as the standard normal's.
    const scale = squares > 0 ? 1 / Math.sqrt(squares / (numTokens * width)) : 0;
    const projection = codebookDim === width ? undefined : drawn(width * codebookDim, 1, true);
    const codebook = new Float32Array(numTokens * codebookDim);
    for (let token = 0; token < numTokens; token++) {
      for (let c = 0; c < width; c++) {
        const value = scale * centred(token, c);
        if (projection === undefined) codebook[token * codebookDim + c] = value;
        else
          for (let d = 0; d < codebookDim; d++)
            codebook[token * codebookDim + d]! +=
              (value * projection[c * codebookDim + d]!) / Math.sqrt(width);
      }
    }
    this.codebook.assign(codebook);
  }

  /** images [B, H, W, 3] normalised by 0.5/0.5 -> logits [B, h, w, vocabulary] */
  logits(images: Tensor): Tensor {
    return scope(() => this.#run(this.#encoder, cast(images, this.computeDtype)));
  }

  /** Codes [B, h, w, codebookDim] -> pictures [B, H, W, 3], normalised as the input is. */
  draw(codes: Tensor): Tensor {
    return scope(() => this.#run(this.#decoder, codes));
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
      const share = 1 / images.shape[0]!;
      const lossKl = weighted ? klToUniform(logits, share) : noGrad(() => klToUniform(logits, share));
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
