import { native } from '../../native/addon.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * Mean softmax cross-entropy, and the share of rows whose largest logit is the label's.
 * @param logits [R, V]
 * @param labels i32 [R]
 * @param inPlace whether the gradient may overwrite the logits, which nobody reads any more then
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
  inPlace = false,
): { loss: Tensor; accuracy: Tensor } {
  const [lossOf, accuracyOf, gradOf] = native.crossEntropy(logits.handle, labels.handle, inPlace);
  const loss = new Tensor(lossOf);
  const accuracy = new Tensor(accuracyOf);
  const grad = new Tensor(gradOf);
  record([loss], [logits], [grad], (dloss) => [new Tensor(native.scaleBy(grad.handle, dloss!.handle))]);
  return { loss, accuracy };
}

/** Mean of (x − target)² as a scalar. No gradient flows to the target. */
export function mse(x: Tensor, target: Tensor): Tensor {
  const loss = new Tensor(native.mse(x.handle, target.handle));
  record([loss], [x], [x, target], (dloss) => [
    new Tensor(native.mseBackward(dloss!.handle, x.handle, target.handle)),
  ]);
  return loss;
}
