import { PickledObject, type PickleValue } from './pickle-values.js';

/** The arguments of a run of the reference that a PyTorch file holds, by name: of a Namespace, or a dict. */
export function referenceArguments(tree: PickleValue | undefined): Map<string, PickleValue> {
  const saved = tree instanceof Map ? tree.get('args') : undefined;
  const from = saved instanceof PickledObject ? saved.state : saved;
  const args = new Map<string, PickleValue>();
  for (const [key, item] of from instanceof Map ? from : []) if (typeof key === 'string') args.set(key, item);
  return args;
}
