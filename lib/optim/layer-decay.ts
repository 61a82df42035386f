import type { Parameter } from '../tensor/parameter.js';
import { type ParameterGroup, parameterGroups } from './parameter-groups.js';

export interface LayerDecayOptions {
  /** blocks of the model */
  depth: number;
  /** factor a layer, 1 for none */
  layerDecay: number;
  /** names that are not decayed, whatever their shape; the reference's by default */
  skip?: ReadonlySet<string>;
}

/** Fine-tuning decays neither of these. */
const skipped: ReadonlySet<string> = new Set(['pos_embed', 'cls_token']);

/** The reference's list, and the relative position bias tables among the parameters where asked for. */
export function skippedDecay(names: Iterable<string>, biasTables: boolean): Set<string> {
  const tables = [...names].filter((name) => name.endsWith('relative_position_bias_table'));
  return new Set([...skipped, ...(biasTables ? tables : [])]);
}

/**
 * Which layer a parameter belongs to: 0 for tokens and the patch embedding, i + 1 for block i, depth + 1 for the rest
 * (the shared position bias, the last norm, the head).
 */
export function layerOf(name: string, depth: number): number {
  if (/^(cls_token|mask_token|pos_embed)$|^patch_embed\./.test(name)) return 0;
  const block = /^blocks\.(\d+)\./.exec(name);
  return block === null ? depth + 1 : Number(block[1]) + 1;
}

/**
 * Fine-tuning's groups: the learning rate of layer i is scaled by layerDecay^(depth + 1 − i), so that early layers,
 * which pretraining has formed, move least (BEiT, arXiv:2106.08254).
 */
export function layerDecayGroups(
  parameters: Map<string, Parameter>,
  { depth, layerDecay, skip = skipped }: LayerDecayOptions,
): ParameterGroup[] {
  return parameterGroups(parameters, skip).map((group) => ({
    ...group,
    lrScale: layerDecay ** (depth + 1 - layerOf(group.name, depth)),
  }));
}
