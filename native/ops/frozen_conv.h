#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(frozen_conv2d_forward, const TensorView& x, const TensorView& weight, const TensorView& bias,
           const TensorView& residual, int64_t stride, int64_t padding, bool relu, double gain, int64_t id,
           const TensorView& y)
CAE_KERNEL(forget_frozen_conv, int64_t id)

namespace ops {

// Convolution by a weight that never changes, a published tokenizer's: what a backend has to reorder of it,
// it reorders once and keeps under `id`, a number of new_frozen_conv, until forget_frozen_conv.
// y = conv(x) + bias, then a relu if asked for; or, with a residual of y's shape, residual +
// gain·(conv(x) + bias).  x [B,H,W,I] in f32 or bf16, weight [O,I,k,k] in x's dtype, bias f32 [O].
Tensor frozen_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const OptionalTensor& residual, int64_t stride, int64_t padding, bool relu, double gain,
                     int64_t id);
int64_t new_frozen_conv();
void forget_frozen_conv(int64_t id);

}  // namespace ops
}  // namespace cae
