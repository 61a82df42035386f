import { native } from '../../native/addon.js';
import type { Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  const y = new Tensor(native.relu(x.handle));
  record([y], [x], [y], (dy) => [new Tensor(native.reluBackward(dy!.handle, y.handle))]);
  return y;
}

/** 1/(1 + e^−x). */
export function sigmoid(x: Tensor): Tensor {
  const y = new Tensor(native.sigmoid(x.handle));
  record([y], [x], [y], (dy) => [new Tensor(native.sigmoidBackward(dy!.handle, y.handle))]);
  return y;
}

/** The largest of each 2×2 square of x [B, H, W, C]. */
export function maxPool2(x: Tensor): Tensor {
  const y = new Tensor(native.maxPool2(x.handle));
  record([y], [x], [x], (dy) => [new Tensor(native.maxPool2Backward(dy!.handle, x.handle))]);
  return y;
}

/** Each pixel of x [B, H, W, C] as a 2×2 square. */
export function upsample2(x: Tensor): Tensor {
  const y = new Tensor(native.upsample2(x.handle));
  record([y], [x], [], (dy) => [new Tensor(native.upsample2Backward(dy!.handle))]);
  return y;
}

/** Index of the largest along the last axis, i32; no gradient. */
export function argmax(x: Tensor): Tensor {
  return new Tensor(native.argmax(x.handle));
}

/** Where Gumbel noise comes from: a function of these, or given. */
export interface GumbelDraw {
  seed: number;
  step: number;
  /** in place of drawn noise: f32 of the logits' shape */
  noise?: Tensor;
}

/** The stream of Gumbel noise. */
const gumbelStream = 3000;

/** softmax((logits + Gumbel noise)/temperature) over the last axis. */
export function gumbelSoftmax(logits: Tensor, temperature: number, draw: GumbelDraw): Tensor {
  const y = new Tensor(
    native.gumbelSoftmax(
      logits.handle,
      draw.noise?.handle ?? null,
      temperature,
      draw.seed,
      gumbelStream,
      draw.step,
    ),
  );
  record([y], [logits], [y], (dy) => [
    new Tensor(native.gumbelSoftmaxBackward(dy!.handle, y.handle, temperature)),
  ]);
  return y;
}

/** Mixtures of a codebook's rows: weights [..., V] · codebook [V, D] -> [..., D]. */
export function mixCodes(weights: Tensor, codebook: Parameter): Tensor {
  const table = codebook.as(weights.dtype);
  const y = new Tensor(native.linearBackwardInput(weights.handle, table.handle));
  record([y], [weights, codebook], [weights, table], (dy) => {
    if (codebook.requiresGrad) {
      codebook.accumulate((grad, accumulate) =>
        native.linearBackwardWeight(weights.handle, dy!.handle, grad.handle, null, accumulate, false),
      );
    }
    return [new Tensor(native.linear(dy!.handle, table.handle, null)), null];
  });
  return y;
}

/** Rows of a codebook [V, D] by tokens i32 [B, K]: [B, K, D]; no gradient. */
export function lookUpCodes(tokens: Tensor, codebook: Parameter): Tensor {
  return new Tensor(native.gatherRows(codebook.handle, tokens.handle, 0));
}

/** Mean smooth L1 distance (β = 1); no gradient to the target. */
export function smoothL1(x: Tensor, target: Tensor): Tensor {
  return lossWithGradient(x, native.smoothL1(x.handle, target.handle));
}

/** factor·Σ over rows of KL(softmax ‖ uniform). */
export function klToUniform(logits: Tensor, factor: number): Tensor {
  return lossWithGradient(logits, native.klToUniform(logits.handle, factor));
}

/** A loss whose gradient came with it. */
function lossWithGradient(x: Tensor, parts: ReturnType<typeof native.smoothL1>): Tensor {
  const loss = new Tensor(parts[0]);
  const grad = new Tensor(parts[1]);
  record([loss], [x], [grad], (dloss) => [new Tensor(native.scaleBy(grad.handle, dloss!.handle))]);
  return loss;
}
