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
  // f16 has no room for a row's share of the mean's gradient: there the rows' own are kept, and shared out later.
  const factor = logits.dtype === 'f16' ? logits.shape[0]! : 1;
  const [lossOf, accuracyOf, gradOf] = native.crossEntropy(logits.handle, labels.handle, inPlace, factor);
  const loss = new Tensor(lossOf);
  const accuracy = new Tensor(accuracyOf);
  const grad = new Tensor(gradOf);
  record([loss], [logits], [grad], (dloss) => {
    const { handle } = dloss!;
    const share = factor === 1 ? handle : new Tensor(native.add(handle, handle, 1 / factor, 0)).handle;
    return [new Tensor(native.scaleBy(grad.handle, share))];
  });
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
