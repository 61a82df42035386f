import type { StateEntry } from '../nn/module.js';
import type { OnnxGraph } from './graph.js';

/** Epsilon of every LayerNorm of the reference. */
const epsilon = 1e-6;

/** Weights by name, as graph constants. */
export class GraphWeights {
  private readonly used = new Set<string>();

  constructor(
    private readonly graph: OnnxGraph,
    private readonly entries: ReadonlyMap<string, StateEntry>,
  ) {}

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** Names of weights that nothing asked for yet. */
  unused(): string[] {
    return [...this.entries.keys()].filter((name) => !this.used.has(name));
  }

  shape(name: string): readonly number[] {
    return this.entry(name).shape;
  }

  values(name: string): Float32Array {
    const { data } = this.entry(name);
    return data instanceof Float32Array ? data : Float32Array.from(data);
  }

  /** A weight as it is. @returns the constant's name */
  constant(name: string): string {
    return this.graph.weight(name, this.shape(name), this.values(name));
  }

  /** A Linear's weight [out, in] as [in, out], which MatMul takes. @returns the constant's name */
  transposed(name: string): string {
    const [rows = 0, columns = 0] = this.shape(name);
    const from = this.values(name);
    const to = new Float32Array(from.length);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c] as number;
    }
    return this.graph.weight(name, [columns, rows], to);
  }

  private entry(name: string): StateEntry {
    const entry = this.entries.get(name);
    if (entry === undefined) throw new Error(`the model has no ${name}`);
    this.used.add(name);
    return entry;
  }
}

/** x·weightᵀ. */
function product(graph: OnnxGraph, weights: GraphWeights, x: string, name: string): string {
  return graph.node('MatMul', [x, weights.transposed(`${name}.weight`)]);
}

/** x·weightᵀ + bias, with the bias of that name or one given. */
export function linear(
  graph: OnnxGraph,
  weights: GraphWeights,
  x: string,
  name: string,
  bias?: string,
): string {
  return graph.node('Add', [product(graph, weights, x, name), bias ?? weights.constant(`${name}.bias`)]);
}

export function layerNorm(graph: OnnxGraph, weights: GraphWeights, x: string, name: string): string {
  const inputs = [x, weights.constant(`${name}.weight`), weights.constant(`${name}.bias`)];
  return graph.node('LayerNormalization', inputs, { axis: -1, epsilon: { float: epsilon } });
}

/** x·½(1 + erf(x/√2)): the operator set has erf, and no GELU yet. */
function gelu(graph: OnnxGraph, x: string): string {
  const erf = graph.node('Erf', [graph.node('Mul', [x, graph.scalar(Math.SQRT1_2)])]);
  const gate = graph.node('Mul', [graph.node('Add', [erf, graph.scalar(1)]), graph.scalar(0.5)]);
  return graph.node('Mul', [x, gate]);
}

/** Query, nothing, value: the key has no bias. */
function qkvBias(graph: OnnxGraph, weights: GraphWeights, prefix: string): string {
  const query = weights.values(`${prefix}q_bias`);
  const value = weights.values(`${prefix}v_bias`);
  const bias = new Float32Array(3 * query.length);
  bias.set(query);
  bias.set(value, 2 * query.length);
  return graph.weight(`${prefix}qkv.bias`, [bias.length], bias);
}

/**
 * Self-attention: x [B, T, C] -> [B, T, C].
 * @param scoreBias a constant [1, heads, T, T] added to the scores
 */
function attention(
  graph: OnnxGraph,
  weights: GraphWeights,
  x: string,
  prefix: string,
  heads: number,
  scoreBias: string | undefined,
): string {
  const width = weights.shape(`${prefix}proj.weight`)[0] as number;
  const head = width / heads;
  const bias = weights.has(`${prefix}q_bias`) ? qkvBias(graph, weights, prefix) : undefined;
  const qkv = linear(graph, weights, x, `${prefix}qkv`, bias);
  const split = graph.node('Reshape', [qkv, graph.integers([0, 0, 3, heads, head])]);
  const ordered = graph.node('Transpose', [split], { perm: [2, 0, 3, 1, 4] });
  const part = (i: number): string => graph.node('Gather', [ordered, graph.integers(i)], { axis: 0 });
  const query = graph.node('Mul', [part(0), graph.scalar(head ** -0.5)]);
  const key = graph.node('Transpose', [part(1)], { perm: [0, 1, 3, 2] });
  let scores = graph.node('MatMul', [query, key]);
  if (scoreBias !== undefined) scores = graph.node('Add', [scores, scoreBias]);
  return mix(graph, weights, scores, part(2), prefix);
}

/** softmax(scores)·values, heads joined [B, T, C], and the projection behind. */
function mix(
  graph: OnnxGraph,
  weights: GraphWeights,
  scores: string,
  values: string,
  prefix: string,
): string {
  const width = weights.shape(`${prefix}proj.weight`)[0] as number;
  const mixed = graph.node('MatMul', [graph.node('Softmax', [scores], { axis: -1 }), values]);
  const joined = graph.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  const flat = graph.node('Reshape', [joined, graph.integers([0, 0, width])]);
  return linear(graph, weights, flat, `${prefix}proj`);
}

/** Cross-attention: q [1 or B, Q, C], k and v [B, T, C] -> [B, Q, C]. */
export function crossAttention(
  graph: OnnxGraph,
  weights: GraphWeights,
  { q, k, v }: Readonly<Record<'q' | 'k' | 'v', string>>,
  prefix: string,
  heads: number,
): string {
  const head = (weights.shape(`${prefix}proj.weight`)[0] as number) / heads;
  const split = (x: string, perm: readonly number[]): string => {
    const apart = graph.node('Reshape', [x, graph.integers([0, 0, heads, head])]);
    return graph.node('Transpose', [apart], { perm });
  };
  const queries = linear(graph, weights, q, `${prefix}q`, weights.constant(`${prefix}q_bias`));
  const scaled = graph.node('Mul', [split(queries, [0, 2, 1, 3]), graph.scalar(head ** -0.5)]);
  const keys = split(product(graph, weights, k, `${prefix}k`), [0, 2, 3, 1]);
  const values = linear(graph, weights, v, `${prefix}v`, weights.constant(`${prefix}v_bias`));
  const scores = graph.node('MatMul', [scaled, keys]);
  return mix(graph, weights, scores, split(values, [0, 2, 1, 3]), prefix);
}

/** x + γ·change, with the layer scale of that name where there is one. */
function residual(graph: OnnxGraph, weights: GraphWeights, x: string, change: string, gamma: string): string {
  const scaled = weights.has(gamma) ? graph.node('Mul', [change, weights.constant(gamma)]) : change;
  return graph.node('Add', [x, scaled]);
}

/** A pre-norm transformer block: x [B, T, C] -> [B, T, C]. */
export function block(
  graph: OnnxGraph,
  weights: GraphWeights,
  x: string,
  prefix: string,
  heads: number,
  scoreBias?: string,
): string {
  const normed = layerNorm(graph, weights, x, `${prefix}norm1`);
  const attended = attention(graph, weights, normed, `${prefix}attn.`, heads, scoreBias);
  const mixed = residual(graph, weights, x, attended, `${prefix}gamma_1`);
  const hidden = linear(
    graph,
    weights,
    layerNorm(graph, weights, mixed, `${prefix}norm2`),
    `${prefix}mlp.fc1`,
  );
  const out = linear(graph, weights, gelu(graph, hidden), `${prefix}mlp.fc2`);
  return residual(graph, weights, mixed, out, `${prefix}gamma_2`);
}

/** Pictures [B, 3, H, W] -> tokens [B, 1 + N, C], the cls token first, positions added. */
export function embed(
  graph: OnnxGraph,
  weights: GraphWeights,
  images: string,
  positions: { readonly rows: number; readonly table: Float32Array },
): string {
  const name = 'patch_embed.proj.weight';
  const [width = 0, , patch = 0] = weights.shape(name);
  const inputs = [images, weights.constant(name), weights.constant('patch_embed.proj.bias')];
  const grid = graph.node('Conv', inputs, { kernel_shape: [patch, patch], strides: [patch, patch] });
  const flat = graph.node('Reshape', [grid, graph.integers([0, width, -1])]);
  const patches = graph.node('Transpose', [flat], { perm: [0, 2, 1] });
  const batch = graph.node('Gather', [graph.node('Shape', [images]), graph.integers([0])], { axis: 0 });
  const shape = graph.node('Concat', [batch, graph.integers([1, width])], { axis: 0 });
  const cls = graph.node('Expand', [weights.constant('cls_token'), shape]);
  const tokens = graph.node('Concat', [cls, patches], { axis: 1 });
  return graph.node('Add', [tokens, graph.weight('pos_embed', [1, positions.rows, width], positions.table)]);
}
