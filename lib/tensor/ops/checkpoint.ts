import { enter, scope } from '../scope.js';
import { noGrad, record, recording, withTape } from '../tape.js';
import type { Tensor } from '../tensor.js';

/**
 * Activation checkpointing (Chen et al., arXiv:1604.06174): keeps of a stretch of the forward pass only what it reads,
 * and runs it again on the way back. The memory of its activations is needed for one stretch at a time; gradients have
 * the same bits, as long as the second run computes what the first one did.
 * @param inputs what `body` reads that has or may have a gradient, other than parameters
 * @param body a pure function of them; random draws in it are functions of the step
 * @returns what `body` returns
 */
export function checkpoint(inputs: readonly (Tensor | null)[], body: () => Tensor): Tensor {
  if (!recording(...inputs)) return body();
  const y = noGrad(body);
  const held = inputs.filter((input) => input !== null);
  record([y], held, held, (dy) =>
    withTape((tape) => {
      const again = scope(body);
      const grads = tape.backward(again, dy!, held);
      again.release();
      grads.forEach((grad, i) => {
        // A gradient that passed through to several inputs has a hold for each; this scope needs one.
        if (grad !== null && grads.indexOf(grad) < i) grad.release();
        else if (grad !== null) enter(grad);
      });
      return grads;
    }),
  );
  return y;
}
