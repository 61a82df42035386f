#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(position_bias_forward, const TensorView& table, const TensorView& index, const TensorView& y)
CAE_KERNEL(position_bias_backward, const TensorView& dy, const TensorView& index, const TensorView& dtable,
           bool accumulate)

namespace ops {

// Relative position bias: y[h,i,j] = table[index[i,j], h].  table [R,H] in f32 or f64, index i32 [T,T] of
// numbers below R; y [H,T,T], as attention adds it to its scores.
Tensor position_bias(const Tensor& table, const Tensor& index);
// dtable[r,h] (+)= Σ of dy[h,i,j] over the pairs (i,j) with index r, in raster order.
void position_bias_backward(const Tensor& dy, const Tensor& index, const Tensor& dtable, bool accumulate);

}  // namespace ops
}  // namespace cae
