import { native } from '../../native/addon.js';
import { accumulateBoth, type Parameter } from '../parameter.js';
import { record } from '../tape.js';
import { Tensor } from '../tensor.js';
import { channelSums } from './channel-sums.js';

/** Geometry of a convolution; square kernels. */
export interface ConvOptions {
  /** default 1 */
  stride?: number;
  /** default 0 */
  padding?: number;
  /** a relu fused behind it, default off */
  relu?: boolean;
}

/**
 * Convolution of x [B,H,W,in] with weight [out,in,k,k] and bias [out]; in x's dtype.
 * @returns [B, (H+2·padding−k)/stride+1, …, out]
 */
export function conv2d(x: Tensor, weight: Parameter, bias: Parameter, options: ConvOptions = {}): Tensor {
  const { stride = 1, padding = 0, relu: fused = false } = options;
  if (weight.prepared !== null) return conv2dPrepared(x, weight.prepared, bias, options);
  const kernel = weight.as(x.dtype);
  const y = new Tensor(native.conv2d(x.handle, kernel.handle, bias.handle, stride, padding, fused));
  record([y], [x, weight, bias], [x, kernel, ...(fused ? [y] : [])], (arriving) => {
    const dy = fused ? new Tensor(native.reluBackward(arriving!.handle, y.handle)) : arriving!;
    const dbias = weightGradient(dy, x, weight, bias, stride, padding);
    const [, height, width] = x.shape as [number, number, number, number];
    const dx = x.requiresGrad
      ? new Tensor(native.conv2dBackwardInput(dy.handle, kernel.handle, height, width, stride, padding))
      : null;
    return [dx, null, dbias];
  });
  return y;
}

/** A frozen weight in the order in which its device's convolutions read it: for Parameter.keepPrepared. */
export function prepareConvWeight(weight: Tensor): Tensor {
  return new Tensor(native.prepareConvWeight(weight.handle));
}

function conv2dPrepared(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { stride = 1, padding = 0, relu = false }: ConvOptions,
): Tensor {
  return new Tensor(native.conv2dPrepared(x.handle, weight.handle, bias.handle, stride, padding, relu));
}

/** Writes the gradients of weight and bias; returns the latter where the bias alone is trained. */
function weightGradient(
  dy: Tensor,
  x: Tensor,
  weight: Parameter,
  bias: Parameter,
  stride: number,
  padding: number,
): Tensor | null {
  if (!weight.requiresGrad) return bias.requiresGrad ? channelSums(dy) : null;
  const write = (dweight: Tensor, dbias: Tensor | null, accumulate: boolean): void =>
    native.conv2dBackwardWeight(
      dy.handle,
      x.handle,
      dweight.handle,
      dbias?.handle ?? null,
      stride,
      padding,
      accumulate,
    );
  if (bias.requiresGrad) accumulateBoth(weight, bias, write);
  else weight.accumulate((dweight, accumulate) => write(dweight, null, accumulate));
  return null;
}

/** Transposed convolution of x [B,H,W,in] with weight [in,out,k,k]: [B, (H−1)·stride − 2·padding + k, …, out]. */
export function convTranspose2d(
  x: Tensor,
  weight: Parameter,
  bias: Parameter,
  { stride = 1, padding = 0 }: Omit<ConvOptions, 'relu'> = {},
): Tensor {
  const kernel = weight.as(x.dtype);
  const y = new Tensor(native.convTranspose2d(x.handle, kernel.handle, bias.handle, stride, padding));
  record([y], [x, weight, bias], [x, kernel], (dy) => {
    if (weight.requiresGrad) {
      weight.accumulate((dweight, accumulate) =>
        native.conv2dBackwardWeight(x.handle, dy!.handle, dweight.handle, null, stride, padding, accumulate),
      );
    }
    const dx = new Tensor(native.conv2d(dy!.handle, kernel.handle, null, stride, padding, false));
    return [dx, null, bias.requiresGrad ? channelSums(dy!) : null];
  });
  return y;
}
