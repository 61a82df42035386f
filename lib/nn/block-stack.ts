import type { ResidualStream } from '../tensor/ops/residual-norm.js';
import { letGo, scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import type { Block, Pass } from './block.js';

/**
 * Runs a stack of blocks. A block's last branch stays pending: the next block's first norm adds it, in the same pass
 * over memory, and so may the norm behind the stack (LayerNorm.forward).
 * @param x [B, T, C]; the caller's, also afterwards
 * @param branch and `sharedBias`: see Block.extend
 */
export function throughBlocks(
  blocks: readonly Block[],
  x: Tensor,
  pass: Pass,
  branch = 0,
  sharedBias: Tensor | null = null,
): ResidualStream {
  let stream: ResidualStream = x;
  for (const block of blocks) {
    const next: ResidualStream = scope(() => block.extend(stream, pass, branch, sharedBias));
    // What backward needs of it the tape holds.
    if (stream !== x) drop(stream);
    stream = next;
  }
  return stream;
}

function drop(stream: ResidualStream): void {
  const tensors = stream instanceof Tensor ? [stream] : [stream.x, stream.branch, stream.keep];
  for (const tensor of tensors) if (tensor !== null) letGo(tensor);
}
