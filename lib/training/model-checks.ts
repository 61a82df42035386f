import type { JsonObject, JsonValue } from '../checkpoint/checkpoint-state.js';
import { UserError } from '../errors.js';

/** Longest value that a message quotes. */
const maxQuoted = 80;

/**
 * Refuses to go on with a model of the same shapes that computes something else: other heads, rates, targets. What the
 * checkpoint does not record is taken as it is now, and so is what was guessed of a file of another program.
 *
 * @param state of the checkpoint
 * @param now what this run would write of its model
 * @throws UserError naming the first difference
 */
export function checkSameModel(folder: string, state: JsonObject, now: JsonObject): void {
  const before = leaves(state['model']);
  // Every run records its seed; a converted checkpoint has none, and its model comes from hints.
  if ((state['unchanged'] as JsonObject | undefined)?.['seed'] === undefined) return;
  for (const [name, text] of leaves(now)) {
    const saved = before.get(name);
    if (saved === undefined || saved === text) continue;
    const long = Math.max(saved.length, text.length) > maxQuoted;
    throw new UserError(
      `${folder} was made with ${long ? `other ${name}` : `${name} ${saved}, this run has ${text}`}; ` +
        'use the same data and flags, or another --output_dir',
    );
  }
}

/** Values below an object as JSON, by their own names in the spelling of flags: `config.numHeads` is num_heads. */
function leaves(value: JsonValue | undefined): Map<string, string> {
  const found = new Map<string, string>();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return found;
  for (const [key, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    const below = leaves(inner);
    for (const [name, text] of below) found.set(name, text);
    if (below.size > 0) continue;
    found.set(
      key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      JSON.stringify(inner),
    );
  }
  return found;
}
