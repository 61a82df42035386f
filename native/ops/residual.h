#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(residual_forward, const TensorView& x, const TensorView& branch, const TensorView& gamma,
           const TensorView& keep, const TensorView& y)
CAE_KERNEL(residual_backward, const TensorView& dy, const TensorView& branch, const TensorView& gamma,
           const TensorView& keep, const TensorView& dbranch, const TensorView& dgamma, bool accumulate)
CAE_KERNEL(drop_path_draw, const TensorView& keep, double rate, double seed, int64_t stream,
           const TensorView& step)

namespace ops {

// y = x + keep[b]·gamma·branch: residual connection with layer scale and stochastic depth in one pass.
// x [B,T,C]; branch [B,T,C] in x's dtype or bf16 beside an f32 x; gamma [C] or none (1); keep [B] or none
// (1). Backward needs branch (only where gamma is trained), gamma and keep; the gradient of x is dy itself.
Tensor residual(const Tensor& x, const Tensor& branch, const OptionalTensor& gamma,
                const OptionalTensor& keep);
// dbranch = keep[b]·gamma·dy in `dtype`; dgamma (+)= Σ keep[b]·dy·branch, if given (then branch must be,
// too).
Tensor residual_backward(const Tensor& dy, const OptionalTensor& branch, const OptionalTensor& gamma,
                         const OptionalTensor& keep, Dtype dtype, const OptionalTensor& dgamma,
                         bool accumulate);

// Stochastic depth's factors for a batch, f32 [batch] (f64 on request): 0 with probability `rate`, else
// 1/(1 − rate); sample b from Philox draw (seed, stream, step, b). `step` is one i32 number on the device
// that draws, so that work recorded once can draw anew in each step.
Tensor drop_path(int64_t batch, Dtype dtype, double rate, double seed, int64_t stream, const Tensor& step);

}  // namespace ops
}  // namespace cae
