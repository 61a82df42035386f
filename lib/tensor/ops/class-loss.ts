import { native } from '../../native/addon.js';
import type { Handle } from '../../native/bindings.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * Mean over rows of −Σ target·log softmax(logits): cross-entropy with mixtures of labels.
 * @param logits [R, V]
 * @param targets f32 [R, V] (f64 with f64); no gradient flows to them
 */
export function softCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return lossOf(logits, native.softCrossEntropy(logits.handle, targets.handle));
}

/**
 * Mean cross-entropy with label smoothing: the label has weight 1 − smoothing, all classes share the rest.
 * @param logits [R, V]
 * @param labels i32 [R]
 * @param smoothing in [0, 1)
 */
export function smoothCrossEntropy(logits: Tensor, labels: Tensor, smoothing: number): Tensor {
  return lossOf(logits, native.smoothCrossEntropy(logits.handle, labels.handle, smoothing));
}

/** A loss whose gradient came with it. */
function lossOf(logits: Tensor, [lossHandle, gradHandle]: [Handle, Handle]): Tensor {
  const loss = new Tensor(lossHandle);
  const grad = new Tensor(gradHandle);
  record([loss], [logits], [grad], (dloss) => [new Tensor(native.scaleBy(grad.handle, dloss!.handle))]);
  return loss;
}

/**
 * How many classes come before the label's when a row's logits are sorted, largest first, the first of equals first:
 * i32 [R]. A row is right among its top k where its rank is below k. No gradient: a metric.
 */
export function labelRanks(logits: Tensor, labels: Tensor): Tensor {
  return new Tensor(native.labelRanks(logits.handle, labels.handle));
}
