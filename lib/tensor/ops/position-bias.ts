import { native } from '../../native/addon.js';
import type { Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * Relative position bias: y[h, i, j] = table[index[i, j], h], as attention adds it to its scores.
 * @param table learnt, [R, heads]
 * @param index i32 [T, T], numbers below R
 * @returns [heads, T, T] in the table's dtype
 */
export function positionBias(table: Parameter, index: Tensor): Tensor {
  const y = new Tensor(native.positionBias(table.handle, index.handle));
  record([y], [table], [index], (dy) => {
    table.accumulate((grad, accumulate) =>
      native.positionBiasBackward(dy!.handle, index.handle, grad.handle, accumulate),
    );
    return [null];
  });
  return y;
}
