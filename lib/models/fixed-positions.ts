import { UserError } from '../errors.js';
import type { StateEntry } from '../nn/module.js';
import { positionTable } from '../nn/position-table.js';

/** Past what 16-bit storage rounds off values of at most 1. */
const tolerance = 0.02;

/**
 * Refuses positions that are not the fixed sine-cosine table, where that would be computed in their place.
 * @param table [1, 1 + grid², width]; one of another form is left to whoever compares shapes
 * @throws UserError naming the file
 */
export function refuseLearntPositions(table: StateEntry, source: string): void {
  const [, rows = 0, width = 0] = table.shape;
  const side = Math.sqrt(rows - 1);
  if (table.shape.length !== 3 || !Number.isInteger(side) || width % 4 !== 0) return;
  const { data } = table;
  const differs = positionTable(side, side, width).some(
    (value, i) => !(Math.abs(value - (data[i] as number)) <= tolerance),
  );
  if (differs) {
    throw new UserError(
      `${source}: its pos_embed is no sine-cosine table; learnt positions are not part of this build`,
    );
  }
}
