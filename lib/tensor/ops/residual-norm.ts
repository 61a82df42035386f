import { native } from '../../native/addon.js';
import { accumulateTogether, type Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { type Dtype, Tensor } from '../tensor.js';
import type { Recomputed } from './recomputed.js';
import { residual } from './residual.js';

/**
 * A residual stream and a branch that is still to be added to it: x + keep·gamma·branch, as residual does it. Where a
 * norm reads the sum next, one pass over memory makes both.
 */
export interface PendingSum {
  readonly x: Tensor;
  readonly branch: Tensor;
  readonly gamma: Parameter | null;
  readonly keep: Tensor | null;
}

/** A residual stream [B, T, C]; the last branch may be pending. */
export type ResidualStream = Tensor | PendingSum;

/** The stream with nothing pending. */
export function summed(stream: ResidualStream): Tensor {
  if (stream instanceof Tensor) return stream;
  return residual(stream.x, stream.branch, stream.gamma, stream.keep);
}

/** What a norm is made of, and the dtype of its result: that of the stream or of the branch. */
interface Norm {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly eps: number;
  readonly dtype: Dtype;
}

/** What forward leaves to backward. */
interface Saved {
  readonly stream: Tensor;
  readonly mean: Tensor;
  readonly rstd: Tensor;
}

/** The sum and its LayerNorm (see residual and layerNorm), for any reader. */
export function residualNorm(
  sum: PendingSum,
  weight: Parameter,
  bias: Parameter,
  eps: number,
  dtype: Dtype,
): { stream: Tensor; y: Tensor } {
  const norm = { weight, bias, eps, dtype };
  const { y, ...made } = forward(sum, norm);
  const { x, branch, gamma } = sum;
  const { shape, device } = y;
  record([y, made.stream], [x, branch, gamma, weight, bias], kept(sum, made), (dy, dstream) => {
    const dvalue = dy ?? Tensor.zeros(shape, dtype, device);
    return [...backward(sum, norm, made, dvalue, dstream ?? null, null), null, null, null];
  });
  return { stream: made.stream, y };
}

/**
 * The sum and its LayerNorm, the latter for one linear layer that alone reads it: see Recomputed. The stream is read
 * by others only once that layer has run, so that its gradient is complete when the layer's turn comes.
 */
export function normalizedSum(
  sum: PendingSum,
  weight: Parameter,
  bias: Parameter,
  eps: number,
  dtype: Dtype,
): { stream: Tensor; normal: Recomputed } {
  const norm = { weight, bias, eps, dtype };
  const { y, ...made } = forward(sum, norm);
  const { x, branch, gamma } = sum;
  const normal: Recomputed = {
    inputs: [x, branch],
    parameters: gamma === null ? [weight, bias] : [gamma, weight, bias],
    forward: () => ({ value: y, others: [made.stream], saved: kept(sum, made) }),
    backward(dvalue, [dstream]) {
      const value = Tensor.empty(x.shape, dtype, x.device);
      return { value, grads: backward(sum, norm, made, dvalue, dstream ?? null, value) };
    },
  };
  return { stream: made.stream, normal };
}

function forward({ x, branch, gamma, keep }: PendingSum, norm: Norm): Saved & { y: Tensor } {
  const [stream, y, mean, rstd] = native.residualNorm(
    x.handle,
    branch.handle,
    gamma?.handle ?? null,
    keep?.handle ?? null,
    norm.weight.handle,
    norm.bias.handle,
    norm.eps,
    norm.dtype,
  );
  return {
    stream: new Tensor(stream),
    y: new Tensor(y),
    mean: new Tensor(mean),
    rstd: new Tensor(rstd),
  };
}

/** What backward reads: of the branch only where layer scale is trained. */
function kept({ branch, gamma, keep }: PendingSum, { stream, mean, rstd }: Saved): Tensor[] {
  const scaled = gamma?.requiresGrad === true;
  return [stream, mean, rstd, ...(scaled ? [branch] : []), ...(keep === null ? [] : [keep])];
}

/**
 * The gradients of x and branch from those of the norm's result and of the stream; those of parameters are
 * accumulated. `y`, if given, gets the norm's result again.
 */
function backward(
  { x, branch, gamma, keep }: PendingSum,
  { weight, bias }: Norm,
  { stream, mean, rstd }: Saved,
  dy: Tensor,
  dstream: Tensor | null,
  y: Tensor | null,
): [Tensor | null, Tensor | null] {
  const scaled = gamma?.requiresGrad === true;
  // The norm's two gradients are made together or not at all.
  const normTrained = weight.requiresGrad || bias.requiresGrad;
  const trained = [...(scaled ? [gamma] : []), ...(normTrained ? [weight, bias] : [])];
  let results: [Tensor | null, Tensor | null] = [null, null];
  accumulateTogether(trained, (grads, accumulate) => {
    const of = (parameter: Parameter | null) => grads[trained.indexOf(parameter!)]?.handle ?? null;
    const [dx, dbranch] = native.residualNormBackward(
      dy.handle,
      dstream?.handle ?? null,
      stream.handle,
      scaled ? branch.handle : null,
      gamma?.handle ?? null,
      keep?.handle ?? null,
      weight.handle,
      bias.handle,
      mean.handle,
      rstd.handle,
      branch.dtype,
      of(gamma),
      of(weight),
      of(bias),
      accumulate,
      y?.handle ?? null,
    );
    const own = [new Tensor(dx), new Tensor(dbranch)] as const;
    results = [x.requiresGrad ? own[0] : null, branch.requiresGrad ? own[1] : null];
  });
  return results;
}
