import { native } from '../native/addon.js';
import { Conv2d } from '../nn/conv2d.js';
import { Module } from '../nn/module.js';
import { prepareConvWeight } from '../tensor/ops/conv.js';
import { add, cast, reshape } from '../tensor/ops/pointwise.js';
import { rowsAt } from '../tensor/ops/tokens.js';
import { argmax, maxPool2, relu, upsample2 } from '../tensor/ops/vision.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';

/** Sizes of the published tokenizer by default. */
export interface DalleSizes {
  /** default 256 */
  hidden?: number;
  /** blocks in each of the four groups, default 2 */
  blocksPerGroup?: number;
  /** default 8192 */
  vocabulary?: number;
  /** the decoder's first width, default 128 */
  initial?: number;
}

const groups = 4;
const names = ['w', 'b'] as const;

/** id_path + gain·res_path, where res_path is four convolutions with a relu before each. */
class DalleBlock extends Module {
  readonly #identity: Conv2d | null;
  readonly #path: Conv2d[];

  /** @param kernels of the four convolutions */
  constructor(
    inChannels: number,
    outChannels: number,
    kernels: readonly [number, number, number, number],
    private readonly gain: number,
  ) {
    super();
    const hidden = outChannels / 4;
    this.#identity =
      inChannels === outChannels
        ? null
        : this.child('id_path', new Conv2d(inChannels, outChannels, 1, {}, names));
    this.#path = kernels.map((kernel, i) => {
      const from = i === 0 ? inChannels : hidden;
      const to = i === 3 ? outChannels : hidden;
      // The relu before the next convolution is fused behind this one.
      const options = { padding: (kernel - 1) / 2, relu: i < 3 };
      return this.child(`res_path.conv_${i + 1}`, new Conv2d(from, to, kernel, options, names));
    });
  }

  forward(x: Tensor): Tensor {
    return scope(() => {
      let path = relu(x);
      for (const convolution of this.#path) path = convolution.forward(path);
      return add(this.#identity?.forward(x) ?? x, path, 1, this.gain);
    });
  }
}

/** Groups of blocks under the names `blocks.group_g.block_b`, with `between` after all groups but the last. */
class DalleGroups extends Module {
  readonly #groups: DalleBlock[][] = [];

  constructor(
    widths: readonly number[],
    blocksPerGroup: number,
    kernels: readonly [number, number, number, number],
    private readonly between: (x: Tensor) => Tensor,
  ) {
    super();
    const gain = 1 / (groups * blocksPerGroup) ** 2;
    for (let g = 1; g <= groups; g++) {
      this.#groups.push(
        Array.from({ length: blocksPerGroup }, (_, b) => {
          const from = b === 0 ? widths[g - 1]! : widths[g]!;
          return this.child(`group_${g}.block_${b + 1}`, new DalleBlock(from, widths[g]!, kernels, gain));
        }),
      );
    }
  }

  forward(x: Tensor): Tensor {
    let y = x;
    for (const [g, blocks] of this.#groups.entries()) {
      for (const block of blocks) y = block.forward(y);
      if (g < groups - 1) y = this.between(y);
    }
    return y;
  }
}

/** The DALL-E tokenizer's encoder: pictures to scores of 8192 tokens on a grid of an eighth of their side. */
export class DalleEncoder extends Module {
  readonly vocabulary: number;
  /** pixels a token stands for, along a side */
  readonly reduction = 8;
  /** what convolutions compute in: f32 or bf16 */
  computeDtype: Dtype = 'f32';
  readonly #input: Conv2d;
  readonly #groups: DalleGroups;
  readonly #output: Conv2d;

  constructor({ hidden = 256, blocksPerGroup = 2, vocabulary = 8192 }: DalleSizes = {}) {
    super();
    this.vocabulary = vocabulary;
    this.#input = this.child('blocks.input', new Conv2d(3, hidden, 7, { padding: 3 }, names));
    this.#groups = this.child(
      'blocks',
      new DalleGroups(
        [1, 1, 2, 4, 8].map((n) => n * hidden),
        blocksPerGroup,
        [3, 3, 3, 1],
        maxPool2,
      ),
    );
    this.#output = this.child('blocks.output.conv', new Conv2d(8 * hidden, vocabulary, 1, {}, names));
    for (const parameter of this.namedParameters().values()) parameter.requiresGrad = false;
  }

  /** Convolutions in `dtype`, and their weights in it and in the device's order alone: see Parameter.keepPrepared. */
  encodeIn(dtype: Dtype): void {
    this.computeDtype = dtype;
    for (const parameter of this.namedParameters().values()) {
      if (parameter === this.#output.weight) parameter.keepOnly(dtype);
      else if (parameter.shape.length === 4) parameter.keepPrepared(dtype, prepareConvWeight);
    }
  }

  /** Random weights, for benchmarks. */
  initialize(seed: number): void {
    let stream = 2_000_000;
    for (const parameter of this.namedParameters().values()) {
      const fanIn = parameter.size / parameter.shape[0]!;
      if (parameter.shape.length === 1) native.fill(parameter.handle, 0);
      else native.uniform(parameter.handle, -Math.sqrt(3 / fanIn), Math.sqrt(3 / fanIn), seed, stream++);
    }
  }

  /** images [B, H, W, 3], 0.8x + 0.1 of pixels in [0, 1] -> logits [B, H/8, W/8, vocabulary] */
  logits(images: Tensor): Tensor {
    return scope(() => this.#output.forward(this.#features(images)));
  }

  /** What the last layer, a linear one, makes scores of: [B, H/8, W/8, 8·hidden]. */
  #features(images: Tensor): Tensor {
    return scope(() => relu(this.#groups.forward(this.#input.forward(cast(images, this.computeDtype)))));
  }

  /** The likeliest tokens, i32 [B, H/8, W/8]. */
  encode(images: Tensor): Tensor {
    return noGrad(() => scope(() => argmax(this.logits(images))));
  }

  /**
   * The tokens of some patches alone, without scores of the others: rows i32 [B, M] of the batch's B·(H/8)·(W/8)
   * patches in raster order -> i32 [B, M].
   */
  encodeAt(images: Tensor, rows: Tensor): Tensor {
    return noGrad(() =>
      scope(() => {
        const chosen = rowsAt(this.#features(images), rows);
        const { weight, bias } = this.#output;
        const scores = reshape(weight.as(chosen.dtype), weight.shape.slice(0, 2));
        return argmax(new Tensor(native.linear(chosen.handle, scores.handle, bias.handle)));
      }),
    );
  }
}

/** The DALL-E tokenizer's decoder: one-hot tokens to six channels, of which the first three are the picture. */
export class DalleDecoder extends Module {
  readonly vocabulary: number;
  readonly #input: Conv2d;
  readonly #groups: DalleGroups;
  readonly #output: Conv2d;

  constructor({ hidden = 256, blocksPerGroup = 2, vocabulary = 8192, initial = 128 }: DalleSizes = {}) {
    super();
    this.vocabulary = vocabulary;
    this.#input = this.child('blocks.input', new Conv2d(vocabulary, initial, 1, {}, names));
    this.#groups = this.child(
      'blocks',
      new DalleGroups(
        [initial, 8 * hidden, 4 * hidden, 2 * hidden, hidden],
        blocksPerGroup,
        [1, 3, 3, 3],
        upsample2,
      ),
    );
    this.#output = this.child('blocks.output.conv', new Conv2d(hidden, 6, 1, {}, names));
    for (const parameter of this.namedParameters().values()) parameter.requiresGrad = false;
  }

  /** One-hot tokens [B, h, w, vocabulary] -> [B, 8h, 8w, 6], before the sigmoid. */
  forward(oneHot: Tensor): Tensor {
    return noGrad(() =>
      scope(() => this.#output.forward(relu(this.#groups.forward(this.#input.forward(oneHot))))),
    );
  }
}
