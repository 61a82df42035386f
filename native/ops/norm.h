#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(layer_norm_forward, const TensorView& x, const TensorView& weight, const TensorView& bias,
           double eps, const TensorView& y, const TensorView& mean, const TensorView& rstd)
CAE_KERNEL(layer_norm_backward, const TensorView& dy, const TensorView& x, const TensorView& weight,
           const TensorView& bias, const TensorView& mean, const TensorView& rstd, const TensorView& dx,
           const TensorView& dweight, const TensorView& dbias, bool accumulate, const TensorView& y)

namespace ops {

// y = (x − mean)·rstd·weight + bias over the last axis; rstd = 1/√(variance + eps), biased variance.
// x [...,C] in f32, bf16 or f64; weight and bias [C], mean and rstd [...] in f32 (f64 with f64); y has
// `dtype`, so that a bf16 run reads its f32 residual stream and writes bf16 for the GEMM in one pass. Returns
// (y, mean, rstd); backward needs x, mean, rstd and weight.
std::tuple<Tensor, Tensor, Tensor> layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                              double eps, Dtype dtype);

// dx in x's dtype; dweight and dbias (+)= their sums over rows (both or neither are given). If y is given, it
// gets forward's result again, in dy's dtype: whoever needs it need not keep it until backward.
Tensor layer_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Tensor& mean, const Tensor& rstd, const OptionalTensor& dweight,
                           const OptionalTensor& dbias, bool accumulate, const OptionalTensor& y);

}  // namespace ops
}  // namespace cae
