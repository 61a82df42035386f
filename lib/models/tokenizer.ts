import { join } from 'node:path';
import { UserError } from '../errors.js';
import { native } from '../native/addon.js';
import type { Module } from '../nn/module.js';
import { add } from '../tensor/ops/pointwise.js';
import { sigmoid } from '../tensor/ops/vision.js';
import { keep, scope } from '../tensor/scope.js';
import { type Dtype, Tensor } from '../tensor/tensor.js';
import { DalleDecoder, DalleEncoder, type DalleSizes } from './dalle-dvae.js';
import { DiscreteVae, discreteVaeConfig } from './discrete-vae.js';
import { readCustomized, readPickledModule, type TensorEntries } from './tokenizer-files.js';

/** A frozen tokenizer: pictures to tokens and back. */
export interface Tokenizer {
  /** tokens in the codebook */
  readonly vocabulary: number;
  /** pixels a token stands for, along a side */
  readonly reduction: number;
  /** what convolutions compute in: f32 (default) or bf16 */
  computeDtype: Dtype;
  /** For a run that only encodes: convolutions in `dtype`, their weights kept in it alone where they are many. */
  encodeIn(dtype: Dtype): void;
  /** f32 [B, T, T, 3], normalised as this tokenizer wants it -> i32 [B, T/reduction, T/reduction] */
  encode(images: Tensor): Tensor;
  /** The tokens of some of a batch's patches alone: rows i32 [B, M] of all, in raster order -> i32 [B, M]. */
  encodeAt?(images: Tensor, rows: Tensor): Tensor;
  /** i32 [B, g, g] -> f32 [B, T, T, 3]; pictures in [0, 1], not clamped */
  decode(tokens: Tensor): Tensor;
}

/** Sizes of a DALL-E half from its tensors. @throws UserError where they are none */
export function dalleSizes(entries: TensorEntries, half: 'encoder' | 'decoder', source: string): DalleSizes {
  const shape = (name: string): readonly number[] => {
    const entry = entries.get(name);
    if (entry === undefined) {
      throw new UserError(
        `${source} is no DALL-E ${half} (it has no ${name}); give the published ${half}.pkl`,
      );
    }
    return entry.shape;
  };
  const input = shape('blocks.input.w');
  const output = shape('blocks.output.conv.w');
  const blocks = [...entries.keys()].filter((name) => /group_1\.block_\d+\.res_path\.conv_1\.w$/.test(name));
  const channels = [input[1], output[0]];
  const wanted = half === 'encoder' ? 3 : 6;
  if (channels[half === 'encoder' ? 0 : 1] !== wanted) {
    throw new UserError(
      `${source} is no DALL-E ${half}; are encoder.pkl and decoder.pkl in each other's place?`,
    );
  }
  return half === 'encoder'
    ? { hidden: input[0]!, blocksPerGroup: blocks.length, vocabulary: output[0]! }
    : { hidden: output[1]!, blocksPerGroup: blocks.length, vocabulary: input[1]!, initial: input[0]! };
}

/** Loads all of a module's tensors. @throws UserError naming the file and the first tensor that does not fit */
export function loadExactly(module: Module, entries: TensorEntries, source: string): void {
  let odd: string | undefined;
  try {
    const { missing, unexpected } = module.loadStateDict(entries);
    odd = missing[0] ?? unexpected[0];
  } catch (error) {
    throw new UserError(`${source} does not fit: ${(error as Error).message}; give another file`);
  }
  if (odd !== undefined)
    throw new UserError(`${source} does not fit: ${odd} is on one side only; give another file`);
}

class DalleTokenizer implements Tokenizer {
  readonly vocabulary: number;
  readonly reduction: number;
  readonly #encoder: DalleEncoder;
  #decoder: DalleDecoder | null = null;

  constructor(private readonly folder: string) {
    const path = join(folder, 'encoder.pkl');
    const entries = readPickledModule(path);
    this.#encoder = new DalleEncoder(dalleSizes(entries, 'encoder', path));
    loadExactly(this.#encoder, entries, path);
    this.vocabulary = this.#encoder.vocabulary;
    this.reduction = this.#encoder.reduction;
  }

  get computeDtype(): Dtype {
    return this.#encoder.computeDtype;
  }

  set computeDtype(dtype: Dtype) {
    this.#encoder.computeDtype = dtype;
  }

  encodeIn(dtype: Dtype): void {
    this.#encoder.encodeIn(dtype);
  }

  encode(images: Tensor): Tensor {
    return this.#encoder.encode(images);
  }

  encodeAt(images: Tensor, rows: Tensor): Tensor {
    return this.#encoder.encodeAt(images, rows);
  }

  /** (sigmoid(first three channels) − 0.1)/0.8; the decoder is read when first called for. */
  decode(tokens: Tensor): Tensor {
    this.#decoder ??= this.#openDecoder();
    const decoder = this.#decoder;
    return scope(() => {
      const oneHot = oneHotTokens(tokens, this.vocabulary);
      const channels = sigmoid(decoder.forward(oneHot));
      const picture = firstChannels(channels, 3);
      const ones = Tensor.empty(picture.shape, picture.dtype, picture.device);
      native.fill(ones.handle, 1);
      return add(picture, ones, 1 / 0.8, -0.1 / 0.8);
    });
  }

  #openDecoder(): DalleDecoder {
    const path = join(this.folder, 'decoder.pkl');
    const entries = readPickledModule(path);
    const decoder = new DalleDecoder(dalleSizes(entries, 'decoder', path));
    loadExactly(decoder, entries, path);
    return decoder;
  }
}

/** Tokens i32 [B, g, g] as f32 [B, g, g, vocabulary], on the host: for pictures to look at, not for training. */
export function oneHotTokens(tokens: Tensor, vocabulary: number): Tensor {
  const ids = tokens.dataSync();
  const data = new Float32Array(ids.length * vocabulary);
  for (const [i, id] of ids.entries()) data[i * vocabulary + id] = 1;
  return Tensor.from(data, [...tokens.shape, vocabulary], tokens.device);
}

/** The first channels of x f32 [..., C], through the host. */
function firstChannels(x: Tensor, count: number): Tensor {
  const channels = x.shape.at(-1)!;
  const all = x.dataSync();
  const data = new Float32Array((all.length / channels) * count);
  for (let i = 0; i < data.length; i++) {
    data[i] = all[Math.floor(i / count) * channels + (i % count)]!;
  }
  return Tensor.from(data, [...x.shape.slice(0, -1), count], x.device);
}

/**
 * Opens a frozen tokenizer.
 * @param type dall-e: a folder with the published encoder.pkl and decoder.pkl; customized: a folder of
 * train-tokenizer, a safetensors file, or a PyTorch file
 * @throws UserError naming the path and what is wrong with it
 */
export async function loadTokenizer(type: 'dall-e' | 'customized', path: string): Promise<Tokenizer> {
  if (type === 'dall-e') return new DalleTokenizer(path);
  const { entries, source } = await readCustomized(path);
  const shapes = new Map([...entries].map(([name, { shape }]) => [name, shape]));
  const tokenizer = new DiscreteVae(discreteVaeConfig(shapes, source));
  loadExactly(tokenizer, entries, source);
  for (const parameter of tokenizer.namedParameters().values()) keep(parameter).requiresGrad = false;
  return tokenizer;
}
