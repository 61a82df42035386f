#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(soft_cross_entropy_forward, const TensorView& logits, const TensorView& targets,
           const TensorView& loss, const TensorView& dlogits)
CAE_KERNEL(smooth_cross_entropy_forward, const TensorView& logits, const TensorView& labels, double smoothing,
           const TensorView& loss, const TensorView& dlogits)
CAE_KERNEL(label_ranks_forward, const TensorView& logits, const TensorView& labels, const TensorView& ranks)

namespace ops {

// Losses of a classifier's logits [R,V] (hard labels: cross_entropy in loss.h). Each returns (loss, dlogits)
// in one pass: the mean over rows as an f32 scalar (f64 with f64), and its gradient in the logits' dtype.

// −Σ_v t·log softmax, t = targets [R,V] in f32 (f64 with f64), not necessarily of sum 1: mixtures of labels.
std::tuple<Tensor, Tensor> soft_cross_entropy(const Tensor& logits, const Tensor& targets);
// −(1 − s)·log softmax at the label − s·(mean of log softmax over classes) with s = smoothing in [0, 1);
// labels i32 [R] (Szegedy et al., 2016).
std::tuple<Tensor, Tensor> smooth_cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing);

// How many classes come before the label's when each row's logits are sorted, largest first and the first of
// equals first: i32 [R]. A row is right in its top k where its rank is below k. A logit that is not a number
// is never before another; a label's that is not ranks last (V − 1).
Tensor label_ranks(const Tensor& logits, const Tensor& labels);

}  // namespace ops
}  // namespace cae
