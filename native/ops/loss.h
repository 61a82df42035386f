#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(cross_entropy_forward, const TensorView& logits, const TensorView& labels, const TensorView& loss,
           const TensorView& accuracy, const TensorView& dlogits, double factor)
CAE_KERNEL(mse_forward, const TensorView& x, const TensorView& target, const TensorView& loss)
CAE_KERNEL(mse_backward, const TensorView& dloss, const TensorView& x, const TensorView& target,
           const TensorView& dx)

CAE_KERNEL(smooth_l1_forward, const TensorView& x, const TensorView& target, const TensorView& loss,
           const TensorView& gradient)
CAE_KERNEL(kl_to_uniform_forward, const TensorView& logits, double factor, const TensorView& loss,
           const TensorView& gradient)

namespace ops {

// Mean softmax cross-entropy of logits [R,V] and labels i32 [R], the share of rows whose largest logit is the
// label's, and the gradient factor·(softmax − one-hot)/R, in one pass over the logits. Returns (loss,
// accuracy, dlogits), the first two f32 scalars (f64 with f64); dlogits overwrites the logits if `in_place`.
// In f16 most of a gradient over R rows is below the smallest number: a factor of R keeps it.
std::tuple<Tensor, Tensor, Tensor> cross_entropy(const Tensor& logits, const Tensor& labels, bool in_place,
                                                 double factor);

// Mean of (x − target)² as an f32 scalar (f64 with f64); equal shapes, f32 beside bf16 allowed.
Tensor mse(const Tensor& x, const Tensor& target);
// dx = 2·dloss·(x − target)/n in x's dtype.
Tensor mse_backward(const Tensor& dloss, const Tensor& x, const Tensor& target);

// Mean of ½d² where |d| < 1, else |d| − ½, with d = x − target. Returns (loss, its gradient for x).
std::tuple<Tensor, Tensor> smooth_l1(const Tensor& x, const Tensor& target);

// factor·Σ over rows of KL(softmax(row) ‖ uniform), logits [...,V]. Returns (loss, its gradient for logits).
std::tuple<Tensor, Tensor> kl_to_uniform(const Tensor& logits, double factor);

}  // namespace ops
}  // namespace cae
