#pragma once

#include "core/tensor.h"

// Convolutions of bf16 by way of f32, a few pictures at a time, where oneDNN has none: ops/conv.h says what
// each computes.
namespace cae::cpu {

bool conv_is_widened(Dtype dtype);

void widened_conv_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                          int64_t stride, int64_t padding, bool relu, const TensorView& y);
void widened_conv_backward_input(const TensorView& dy, const TensorView& weight, const TensorView& bias,
                                 int64_t stride, int64_t padding, const TensorView& dx);
void widened_conv_backward_weight(const TensorView& dy, const TensorView& x, int64_t stride, int64_t padding,
                                  const TensorView& dweight, const TensorView& dbias, bool accumulate);

}  // namespace cae::cpu
