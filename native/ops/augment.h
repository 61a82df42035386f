#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(erase_boxes_forward, const TensorView& images, const TensorView& boxes, const TensorView& ids,
           int64_t fill, double seed, int64_t stream, int64_t step)
CAE_KERNEL(mix_images_forward, const TensorView& x, const TensorView& partner, const TensorView& weight,
           const TensorView& boxes, const TensorView& y)

namespace ops {

// Fills boxes of normalised images [B,C,H,W], in place. boxes i32 [B,K,4]: top, left, height, width, in
// pixels; one of no area, or beyond the picture in that part, fills nothing there; a later one covers an
// earlier. fill 0: zeros; 1: one standard normal colour a box; 2: a standard normal value for each pixel and
// channel. Noise of element e of image b (or of channel c of box k: e = k·C + c) is part e mod 4 of the
// Philox draw (seed, stream, step, (ids[b]·2^32 + e)/4): words u, v of its first or second half give √(−2 ln
// (u + ½)/2^32) times cos (even e) or sin (odd e) of 2πv/2^32. ids i32 [B]: noise does not depend on the
// batch that an image is in.
void erase_boxes(const Tensor& images, const Tensor& boxes, const Tensor& ids, int64_t fill, double seed,
                 int64_t stream, int64_t step);

// y[b] = weight[b]·x[b] + (1 − weight[b])·x[partner[b]], and within box b just x[partner[b]]. x, y [B,C,H,W];
// partner i32 [B]; weight f32 [B] (f64 with f64); boxes i32 [B,4]: top, left, height, width. A weight of 1
// copies. Images: no gradient.
Tensor mix_images(const Tensor& x, const Tensor& partner, const Tensor& weight, const Tensor& boxes);

}  // namespace ops
}  // namespace cae
