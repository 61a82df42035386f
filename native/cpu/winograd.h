#pragma once

#include "core/tensor.h"

namespace cae::cpu {

// Whether winograd_conv3x3 computes this convolution: 3x3, stride 1, padding 1, wide and large enough to
// gain; f32, or bf16 on a CPU that gains by paired products (elsewhere its direct sum is faster).
bool winograd_applies(const TensorView& x, const TensorView& weight, int64_t stride, int64_t padding);

// y = x * weight + bias, then a relu if asked for, over NHWC pictures, by Winograd's F(4x4, 3x3) (Lavin &
// Gray, "Fast algorithms for convolutional neural networks", 2016): 36 products for the 16 results of a 4x4
// tile, where the sum itself takes 144. All computed in f32: relative error 1e-6 to 3e-6, a few times the
// direct sum's.
void winograd_conv3x3(const TensorView& x, const TensorView& weight, const TensorView& bias, bool relu,
                      const TensorView& y);

}  // namespace cae::cpu
