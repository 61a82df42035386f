#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(residual_norm_forward, const TensorView& x, const TensorView& branch, const TensorView& gamma,
           const TensorView& keep, const TensorView& weight, const TensorView& bias, double eps,
           const TensorView& stream, const TensorView& y, const TensorView& mean, const TensorView& rstd)
CAE_KERNEL(residual_norm_backward, const TensorView& dy, const TensorView& dstream, const TensorView& stream,
           const TensorView& branch, const TensorView& gamma, const TensorView& keep,
           const TensorView& weight, const TensorView& bias, const TensorView& mean, const TensorView& rstd,
           const TensorView& dx, const TensorView& dbranch, const TensorView& dgamma,
           const TensorView& dweight, const TensorView& dbias, bool accumulate, const TensorView& y)

namespace ops {

// A residual connection and the LayerNorm behind it, in one pass over memory:
//   stream = x + keep[b]·gamma·branch      (ops/residual.h)
//   y = (stream − mean)·rstd·weight + bias (ops/norm.h)
// x and stream [B,T,C] in f32 (f64 in checks); branch [B,T,C] in that dtype, bf16 or f16; y in `dtype`, which
// is branch's or stream's; gamma [C] or none (1); keep [B] or none (1). Returns (stream, y, mean, rstd);
// backward needs stream, mean, rstd, gamma, keep, weight and, where gamma is trained, branch.
std::tuple<Tensor, Tensor, Tensor, Tensor> residual_norm(const Tensor& x, const Tensor& branch,
                                                         const OptionalTensor& gamma,
                                                         const OptionalTensor& keep, const Tensor& weight,
                                                         const Tensor& bias, double eps, Dtype dtype);

// From the gradients of y and, if others read it, of the stream: with dz = dstream + the norm's share of dy,
//   dx = dz,  dbranch = keep[b]·gamma·dz in `dtype`,  dgamma (+)= Σ keep[b]·dz·branch,
// and dweight and dbias (+)= their sums over rows (both or neither are given; dgamma needs the branch).
// If y is given, it gets forward's y again, in dy's dtype. Returns (dx, dbranch).
std::tuple<Tensor, Tensor> residual_norm_backward(
    const Tensor& dy, const OptionalTensor& dstream, const Tensor& stream, const OptionalTensor& branch,
    const OptionalTensor& gamma, const OptionalTensor& keep, const Tensor& weight, const Tensor& bias,
    const Tensor& mean, const Tensor& rstd, Dtype dtype, const OptionalTensor& dgamma,
    const OptionalTensor& dweight, const OptionalTensor& dbias, bool accumulate, const OptionalTensor& y);

}  // namespace ops
}  // namespace cae
