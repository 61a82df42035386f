#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(linear_forward, const TensorView& x, const TensorView& weight, const TensorView& bias,
           const TensorView& y)
CAE_KERNEL(linear_backward_input, const TensorView& dy, const TensorView& weight, const TensorView& dx)
CAE_KERNEL(linear_backward_weight, const TensorView& dy, const TensorView& x, const TensorView& dweight,
           const TensorView& dbias, bool accumulate, bool accumulate_bias)

namespace ops {

// y = x·weightᵀ + bias.  x [...,in], weight [out,in] of x's dtype, bias [out] in f32 (f64 with f64), y
// [...,out]. Backward needs x and weight.
Tensor linear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias);

// dx = dy·weight.  dy [...,out] -> [...,in], in dy's dtype.
Tensor linear_backward_input(const Tensor& dy, const Tensor& weight);

// dweight (+)= dyᵀ·x and dbias (+)= column sums of dy, in f32 (f64 with f64): the gradients of master
// weights. Adds to what dweight and dbias hold if `accumulate`, else overwrites.
void linear_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& dweight,
                            const OptionalTensor& dbias, bool accumulate, bool accumulate_bias);

}  // namespace ops
}  // namespace cae
