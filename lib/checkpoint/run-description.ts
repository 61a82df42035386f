import type { JsonObject } from './checkpoint-state.js';
import type { Weights } from './weights-file.js';

/** The key under which a PyTorch file holds a run's own state, and any file what describes its model, as JSON. */
export const runStateKey = 'cae_native';

/**
 * What a run says of its model: sizes, how it saw pictures, a classifier's classes. It stands in a run's state, in the
 * state that a PyTorch file took along, or in a file's metadata; its content is not checked. Undefined where there is
 * none.
 */
export function modelDescription({
  run,
  tree,
  metadata,
}: Pick<Weights, 'run' | 'tree' | 'metadata'>): JsonObject | undefined {
  const saved = run ?? parsed(entry(tree, runStateKey) ?? metadata[runStateKey]);
  const inTree = saved ?? parsed(entry(entry(tree, 'metadata'), runStateKey));
  const state = isObject(inTree) ? inTree['state'] : undefined;
  const model = isObject(state) ? state['model'] : undefined;
  return isObject(model) ? model : undefined;
}

/** A file's metadata that describe this model. */
export function describing(model: JsonObject): Record<string, string> {
  return { [runStateKey]: JSON.stringify({ state: { model } }) };
}

/** Whether a value is an object of JSON. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function entry(tree: unknown, key: string): unknown {
  return tree instanceof Map ? tree.get(key) : undefined;
}

function parsed(text: unknown): unknown {
  if (typeof text !== 'string') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
