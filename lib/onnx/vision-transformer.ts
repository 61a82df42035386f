import { UserError } from '../errors.js';
import { refuseLearntPositions } from '../models/fixed-positions.js';
import { resizeBiasTable } from '../models/resize-positions.js';
import type { StateEntry } from '../nn/module.js';
import { positionTable } from '../nn/position-table.js';
import { relativePositionIndex, relativePositions } from '../nn/relative-position.js';
import type { ProtobufMessage } from '../protobuf.js';
import { type OnnxDimension, OnnxGraph } from './graph.js';
import { block, embed, GraphWeights, layerNorm } from './vit-blocks.js';
import { attentiveProbeHead, clsOf, finetunedHead, linearProbeHead, meanOf } from './vit-heads.js';

/** What an exported model gives: a feature [B, C], all tokens [B, 1+N, C], or logits [B, classes]. */
export type OnnxFeatures = 'cls' | 'mean' | 'tokens' | 'classifier';

/** What to export. */
export interface VitExport {
  /** Weights of an encoder, `encoder.` stripped, or of a classifier. */
  readonly entries: ReadonlyMap<string, StateEntry>;
  readonly heads: number;
  /** Side of the pictures in pixels; position tables are made for it. */
  readonly imageSize: number;
  readonly features: OnnxFeatures;
  /** Whether a linear probe's head stands on the mean of the patch tokens; default: on the cls token. */
  readonly meanPooling?: boolean;
  /** Strings that go along in the file. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The file the weights come from, in messages. */
  readonly source: string;
}

/** A fixed table, made anew. */
const indexName = 'relative_position_index';
const tableName = 'relative_position_bias_table';
const sharedTable = `rel_pos_bias.${tableName}`;

/**
 * A vision transformer as an ONNX model: input `images`, float32 [batch, 3, H, W], normalised as the metadata say; one
 * output, `features` or `logits`. Dropout and stochastic depth are off, as in evaluation.
 *
 * @throws UserError for what these weights do not have, weights of the encoder that have no place in it, sizes that do
 *   not fit, and models past 2 GiB
 */
export function vitToOnnx(options: VitExport): ProtobufMessage {
  const { entries, imageSize, features, source } = options;
  const graph = new OnnxGraph();
  const weights = new GraphWeights(graph, entries);
  const grid = checkSizes(weights, options);
  const images = graph.input('images', ['batch', 3, imageSize, imageSize]);
  let x = embed(graph, weights, images, positions(weights, options.entries, grid, source));
  const shared = biasOf(weights, sharedTable, grid, options.heads);
  for (let i = 0; weights.has(`blocks.${i}.norm1.weight`); i++) {
    const prefix = `blocks.${i}.`;
    const own = biasOf(weights, `${prefix}attn.${tableName}`, grid, options.heads);
    x = block(graph, weights, x, prefix, options.heads, scoreBias(graph, prefix, own, shared, grid));
  }
  const width = weights.shape('cls_token').at(-1) as number;
  if (features === 'classifier') {
    const [logits, classes] = classify(graph, weights, x, options);
    graph.output('logits', logits, ['batch', classes]);
  } else {
    const shape: readonly OnnxDimension[] =
      features === 'tokens' ? ['batch', 1 + grid * grid, width] : ['batch', width];
    graph.output('features', featuresOf(graph, weights, x, features, source), shape);
  }
  refuseUnused(weights, source);
  return graph.model('vision transformer', options.metadata ?? {});
}

/** Without them the model would be another one: they change what the tokens become. */
function refuseUnused(weights: GraphWeights, source: string): void {
  const unused = weights
    .unused()
    .filter((name) => /^(blocks|patch_embed|rel_pos_bias)\./.test(name) && !name.endsWith(indexName));
  if (unused.length === 0) return;
  const more = unused.length > 3 ? `, … (${unused.length} in all)` : '';
  throw new UserError(
    `${source} has ${unused.slice(0, 3).join(', ')}${more}, which this encoder has no place for; an export would be another model`,
  );
}

/** @returns patches along a side */
function checkSizes(weights: GraphWeights, { entries, heads, imageSize, source }: VitExport): number {
  const [width = 0, , patch = 1] = weights.shape('patch_embed.proj.weight');
  if (width % heads !== 0)
    throw new UserError(`--num_heads ${heads} must divide ${source}'s width of ${width}`);
  if (imageSize % patch !== 0) {
    throw new UserError(`--input_size ${imageSize} does not divide by the patches' ${patch} pixels`);
  }
  const own = tableHeads(entries) ?? heads;
  if (own !== heads) {
    throw new UserError(`--num_heads ${heads}: its bias tables have ${own} heads; give that number`);
  }
  const grid = imageSize / patch;
  const tokens = 1 + grid * grid;
  let tables = 4 * tokens * width;
  for (let i = 0; weights.has(`blocks.${i}.norm1.weight`); i++) {
    const biased = [`blocks.${i}.attn.${tableName}`, sharedTable].some((name) => weights.has(name));
    if (biased) tables += 4 * heads * tokens ** 2;
  }
  if (tables > 2 ** 31) {
    throw new UserError(
      `--input_size ${imageSize}: its tables of positions alone are ${(tables / 2 ** 30).toFixed(1)} GiB, and an ONNX file ends at 2; give a smaller one`,
    );
  }
  return grid;
}

/** The fixed table for this grid; zeros for a model that has none. */
function positions(
  weights: GraphWeights,
  entries: ReadonlyMap<string, StateEntry>,
  grid: number,
  source: string,
): { rows: number; table: Float32Array } {
  const width = weights.shape('cls_token').at(-1) as number;
  const rows = 1 + grid * grid;
  const stored = entries.get('pos_embed');
  if (stored === undefined) return { rows, table: new Float32Array(rows * width) };
  if (stored.shape[1] === rows) return { rows, table: weights.values('pos_embed') };
  refuseLearntPositions(stored, source);
  return { rows, table: positionTable(grid, grid, width) };
}

/** Heads of an encoder that its relative position bias shows; undefined where it has none. */
export function tableHeads(
  entries: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): number | undefined {
  return (entries.get(sharedTable) ?? entries.get(`blocks.0.attn.${tableName}`))?.shape[1];
}

/** A table of relative positions for this grid, [rows, heads], where the model has it. */
function biasOf(weights: GraphWeights, name: string, grid: number, heads: number): Float32Array | undefined {
  if (!weights.has(name)) return undefined;
  const table = weights.values(name);
  const rows = relativePositions(grid, grid);
  return table.length === rows * heads ? table : resizeBiasTable(table, heads, rows);
}

/** Tables looked up for each pair of tokens and added: a constant [1, heads, T, T]. */
function scoreBias(
  graph: OnnxGraph,
  prefix: string,
  own: Float32Array | undefined,
  shared: Float32Array | undefined,
  grid: number,
): string | undefined {
  const tables = [own, shared].filter((table) => table !== undefined);
  if (tables.length === 0) return undefined;
  const index = relativePositionIndex(grid, grid);
  const rows = relativePositions(grid, grid);
  const heads = (tables[0] as Float32Array).length / rows;
  const bias = new Float32Array(heads * index.length);
  for (const table of tables) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < index.length; i++) {
        const at = h * index.length + i;
        bias[at] = (bias[at] as number) + (table[(index[i] as number) * heads + h] as number);
      }
    }
  }
  const tokens = 1 + grid * grid;
  return graph.weight(`${prefix}attn.relative_position_bias`, [1, heads, tokens, tokens], bias);
}

function featuresOf(
  graph: OnnxGraph,
  weights: GraphWeights,
  x: string,
  features: Exclude<OnnxFeatures, 'classifier'>,
  source: string,
): string {
  if (!weights.has('norm.weight')) {
    if (features === 'mean' && weights.has('fc_norm.weight')) {
      return layerNorm(graph, weights, meanOf(graph, x), 'fc_norm');
    }
    throw new UserError(
      `${source} has no norm over its tokens; a model fine-tuned on their mean gives --features mean or classifier`,
    );
  }
  const normed = layerNorm(graph, weights, x, 'norm');
  if (features === 'tokens') return normed;
  return features === 'cls' ? clsOf(graph, normed) : meanOf(graph, normed);
}

/** Tokens before the last norm -> logits, and how many they are. */
function classify(
  graph: OnnxGraph,
  weights: GraphWeights,
  x: string,
  { heads, meanPooling = false, source }: VitExport,
): [logits: string, classes: number] {
  const name = ['head', 'head.1'].find((candidate) => weights.has(`${candidate}.weight`));
  if (name === undefined) {
    throw new UserError(
      `${source} has no head; give a classifier's checkpoint, or --features cls, mean or tokens`,
    );
  }
  const classes = weights.shape(`${name}.weight`)[0] as number;
  const attentive = weights.has('query_token');
  if (name === 'head' && !attentive) return [finetunedHead(graph, weights, x), classes];
  const tokens = layerNorm(graph, weights, x, 'norm');
  return [
    attentive
      ? attentiveProbeHead(graph, weights, tokens, heads)
      : linearProbeHead(graph, weights, tokens, meanPooling),
    classes,
  ];
}
