import type { OnnxGraph } from './graph.js';
import { crossAttention, type GraphWeights, layerNorm, linear } from './vit-blocks.js';

/** The cls token: [B, 1+N, C] -> [B, C]. */
export function clsOf(graph: OnnxGraph, x: string): string {
  return graph.node('Gather', [x, graph.integers(0)], { axis: 1 });
}

/** The mean of the patch tokens: [B, 1+N, C] -> [B, C]. */
export function meanOf(graph: OnnxGraph, x: string): string {
  const [from, to, axis] = [[1], [Number.MAX_SAFE_INTEGER], [1]].map((list) => graph.integers(list));
  const patches = graph.node('Slice', [x, from as string, to as string, axis as string]);
  return graph.node('ReduceMean', [patches], { axes: [1], keepdims: 0 });
}

/** Tokens before the last norm -> logits of a fine-tuned model. */
export function finetunedHead(graph: OnnxGraph, weights: GraphWeights, x: string): string {
  const feature = weights.has('fc_norm.weight')
    ? layerNorm(graph, weights, meanOf(graph, x), 'fc_norm')
    : clsOf(graph, layerNorm(graph, weights, x, 'norm'));
  return linear(graph, weights, feature, 'head');
}

/** Normalised tokens -> logits of a linear probe. */
export function linearProbeHead(
  graph: OnnxGraph,
  weights: GraphWeights,
  tokens: string,
  meanPooling: boolean,
): string {
  const feature = meanPooling ? meanOf(graph, tokens) : clsOf(graph, tokens);
  return linear(graph, weights, batchNorm(graph, weights, feature, 'head.0', 1e-6), 'head.1');
}

/** Normalised tokens -> logits of an attentive probe, whose learnt query reads them by cross-attention. */
export function attentiveProbeHead(
  graph: OnnxGraph,
  weights: GraphWeights,
  tokens: string,
  heads: number,
): string {
  let query = weights.constant('query_token');
  for (let i = 0; weights.has(`attentive_blocks.${i}.norm_q.weight`); i++) {
    const prefix = `attentive_blocks.${i}.`;
    const [q = '', k = '', v = ''] = (
      [
        [query, 'norm_q'],
        [tokens, 'norm_k'],
        [tokens, 'norm_v'],
      ] as const
    ).map(([x, name]) => layerNorm(graph, weights, x, `${prefix}${name}`));
    query = crossAttention(graph, weights, { q, k, v }, `${prefix}cross_attn.`, heads);
  }
  // The one query of each picture stands where a cls token would.
  return linear(graph, weights, batchNorm(graph, weights, clsOf(graph, query), 'fc_norm', 1e-5), 'head');
}

/** Batch normalisation without gain and shift: running statistics take the place of the batch's. */
function batchNorm(
  graph: OnnxGraph,
  weights: GraphWeights,
  x: string,
  name: string,
  epsilon: number,
): string {
  const deviation = weights.values(`${name}.running_var`).map((value) => Math.sqrt(value + epsilon));
  const scale = graph.weight(`${name}.deviation`, [deviation.length], deviation);
  const centred = graph.node('Sub', [x, weights.constant(`${name}.running_mean`)]);
  return graph.node('Div', [centred, scale]);
}
