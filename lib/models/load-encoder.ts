import { UserError } from '../errors.js';
import type { StateEntry } from '../nn/module.js';
import { Parameter } from '../tensor/parameter.js';
import { refuseLearntPositions } from './fixed-positions.js';
import { resizeBiasTable, tableSide } from './resize-positions.js';
import type { VitEncoder } from './vit-encoder.js';

/** What became of a checkpoint's tensors, by name. */
export interface EncoderLoad {
  /** Parameters of the model that got values. */
  matched: string[];
  /** Parameters of the model without a value in the checkpoint: they keep theirs. */
  missing: string[];
  /** Tensors of the checkpoint that the model has no use for, under the checkpoint's names. */
  unexpected: string[];
  /** Bias tables interpolated from another grid. */
  resized: string[];
}

const encoderPrefix = 'encoder.';
const sharedTable = 'rel_pos_bias.relative_position_bias_table';
const tableName = 'relative_position_bias_table';

/**
 * Loads what fits of a checkpoint into a classifier or probe. A pretraining checkpoint's `encoder.*` is taken without
 * that prefix, anything else by its own names; `norm.*` becomes `fc_norm.*` where the model has that in its place. A
 * shared position bias goes to every block of a model whose blocks have their own; tables of another grid are
 * interpolated; a head for another number of classes is left out. Fixed tables are computed, not read.
 * @param entries tensors by name; `data` is read only of those that are taken
 * @param source the checkpoint in messages
 * @throws UserError if nothing of the encoder matches, a shape differs (naming tensors and shapes), or positions are
 *   learnt ones
 */
export function loadEncoder(
  model: VitEncoder,
  entries: ReadonlyMap<string, StateEntry>,
  source: string,
): EncoderLoad {
  const state = model.stateDict();
  const taken = new Map<string, StateEntry>();
  const load: EncoderLoad = { matched: [], missing: [], unexpected: [], resized: [] };
  const wrong: string[] = [];
  const offer = (name: string, entry: StateEntry): boolean => {
    const own = state.get(name);
    if (own !== undefined && name === 'pos_embed') refuseLearntPositions(entry, source);
    if (!(own instanceof Parameter)) return own !== undefined;
    const [rows, heads] = own.shape;
    const same = entry.shape.join() === own.shape.join();
    if (!same && name.startsWith('head.')) return false;
    if (same) {
      taken.set(name, entry);
    } else if (name.endsWith(tableName) && resizable(entry.shape, own.shape)) {
      const data = resizeBiasTable(entry.data, heads as number, rows as number);
      taken.set(name, { shape: own.shape, data });
      load.resized.push(name);
    } else {
      wrong.push(`${name} is [${entry.shape.join(', ')}] there and [${own.shape.join(', ')}] here`);
    }
    return true;
  };

  const pretrained = [...entries.keys()].some((name) => name.startsWith(encoderPrefix));
  for (const [full, entry] of entries) {
    const inside = full.startsWith(encoderPrefix);
    const name = rename(inside ? full.slice(encoderPrefix.length) : full, state.has('fc_norm.weight'));
    const targets = name === sharedTable && !state.has(sharedTable) ? blockTables(state.keys()) : [name];
    const used = inside === pretrained && targets.map((target) => offer(target, entry)).some(Boolean);
    if (!used && !name.endsWith('relative_position_index')) load.unexpected.push(full);
  }
  refuse(source, wrong, [...taken.keys()]);
  load.missing = model.loadStateDict(taken).missing;
  load.matched = [...taken.keys()];
  return load;
}

/** The name in the model: fine-tuning goes on from the encoder's last norm in its `fc_norm`. */
function rename(name: string, hasFcNorm: boolean): string {
  return hasFcNorm && name.startsWith('norm.') ? `fc_${name}` : name;
}

/** The bias tables of blocks that have their own. */
function blockTables(names: Iterable<string>): string[] {
  return [...names].filter((name) => name.startsWith('blocks.') && name.endsWith(tableName));
}

/** Whether both are tables of square grids, for as many heads. */
function resizable(from: readonly number[], to: readonly number[]): boolean {
  if (from.length !== 2 || from[1] !== to[1]) return false;
  try {
    return tableSide(from[0] as number) > 0 && tableSide(to[0] as number) > 0;
  } catch {
    return false;
  }
}

function refuse(source: string, wrong: readonly string[], taken: readonly string[]): void {
  if (wrong.length > 0) {
    const more = wrong.length > 3 ? `; and ${wrong.length - 3} more` : '';
    throw new UserError(
      `${source} is of another model: ${wrong.slice(0, 3).join('; ')}${more}; give the --model it was trained as`,
    );
  }
  if (!taken.some((name) => name.startsWith('blocks.') || name.startsWith('patch_embed.'))) {
    throw new UserError(
      `${source}: nothing in it matches the encoder; name a checkpoint of a pretrained or fine-tuned model`,
    );
  }
}
