import { native } from '../../native/addon.js';
import { Tensor } from '../tensor.js';

/** What random erasing fills its boxes with (`--remode`), in the order of the native core. */
export const eraseModes = ['const', 'rand', 'pixel'] as const;
export type EraseMode = (typeof eraseModes)[number];

/** Names the noise of an image: it is a function of these and of its entry in `ids`. */
export interface EraseNoise {
  readonly seed: number;
  readonly stream: number;
  readonly step: number;
}

/**
 * Random erasing's second half: fills boxes of normalised images, in place. `const`: zeros; `rand`: a standard normal
 * colour a box; `pixel`: standard normal noise for each pixel and channel.
 *
 * @param images [B, C, H, W], normalised
 * @param boxes i32 [B, K, 4]: top, left, height, width; 0, 0, 0, 0 for none
 * @param ids i32 [B]: what an image's noise goes by, whatever batch it is in
 */
export function eraseBoxes(
  images: Tensor,
  boxes: Tensor,
  ids: Tensor,
  mode: EraseMode,
  { seed, stream, step }: EraseNoise,
): void {
  native.eraseBoxes(images.handle, boxes.handle, ids.handle, eraseModes.indexOf(mode), seed, stream, step);
}

/**
 * mixup and CutMix: weight[b]·x[b] + (1 − weight[b])·x[partner[b]], and within box b the partner alone. Images: no
 * gradient.
 *
 * @param x [B, C, H, W]
 * @param partner i32 [B]
 * @param weight f32 [B]; 1 copies
 * @param boxes i32 [B, 4]: top, left, height, width; 0, 0, 0, 0 for none
 */
export function mixImages(x: Tensor, partner: Tensor, weight: Tensor, boxes: Tensor): Tensor {
  return new Tensor(native.mixImages(x.handle, partner.handle, weight.handle, boxes.handle));
}
