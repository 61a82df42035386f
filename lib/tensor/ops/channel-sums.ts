import { native } from '../../native/addon.js';
import { Tensor } from '../tensor.js';

/** Σ over all axes but the last, in the parameters' dtype: the gradient of a bias [C] from that of its sum [..., C]. */
export function channelSums(x: Tensor): Tensor {
  const channels = x.shape.at(-1)!;
  const sums = Tensor.empty([channels], x.dtype === 'f64' ? 'f64' : 'f32', x.device);
  const rows = new Tensor(native.reshape(x.handle, [1, x.size / channels, channels]));
  native.repeatTokenBackward(rows.handle, sums.handle, false);
  return sums;
}
