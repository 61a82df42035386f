#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(batch_norm_forward, const TensorView& x, const TensorView& running_mean,
           const TensorView& running_variance, const TensorView& batches, double momentum, double eps,
           bool training, const TensorView& y, const TensorView& mean, const TensorView& rstd)
CAE_KERNEL(batch_norm_backward, const TensorView& dy, const TensorView& x, const TensorView& mean,
           const TensorView& rstd, bool training, const TensorView& dx)

namespace ops {

// Batch normalisation without gain and shift (Ioffe & Szegedy, 2015): y = (x − mean)·rstd per column,
// rstd = 1/√(variance + eps).  x [B,C] in f32, bf16 or f64, y in x's dtype; running_mean and
// running_variance [C], mean and rstd [C] in f32 (f64 with f64); batches i32 [] or [1].
// Training: mean and biased variance of the batch (B ≥ 2); then, as torch does it, the running statistics
// move by `momentum` towards the mean and the unbiased variance, and `batches` counts one more. Evaluation:
// the running statistics, unchanged. Returns (y, mean, rstd); backward needs x, mean and rstd.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const Tensor& running_mean,
                                              const Tensor& running_variance, const Tensor& batches,
                                              double momentum, double eps, bool training);
// Training: dx = rstd·(dy − mean(dy) − x̂·mean(dy·x̂)), means over the batch; evaluation: dx = rstd·dy. In
// x's dtype.
Tensor batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                           bool training);

}  // namespace ops
}  // namespace cae
