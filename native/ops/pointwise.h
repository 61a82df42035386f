#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(gelu_forward, const TensorView& x, const TensorView& bias, const TensorView& y)
CAE_KERNEL(gelu_backward, const TensorView& dy, const TensorView& x, const TensorView& bias,
           const TensorView& dx, const TensorView& dbias, bool accumulate, const TensorView& y)
CAE_KERNEL(cast_forward, const TensorView& x, const TensorView& y)
CAE_KERNEL(add_forward, const TensorView& a, const TensorView& b, double alpha, double beta,
           const TensorView& y)
CAE_KERNEL(scale_by_forward, const TensorView& x, const TensorView& factor, const TensorView& y)
CAE_KERNEL(sum_forward, const TensorView& x, double factor, const TensorView& y)
CAE_KERNEL(fill_constant, const TensorView& y, double value)
CAE_KERNEL(fill_uniform, const TensorView& y, double low, double high, double seed, int64_t stream)
CAE_KERNEL(fill_truncated_normal, const TensorView& y, double deviation, double cut, double seed,
           int64_t stream)

namespace ops {

// y = gelu(x + bias) with the exact gelu(z) = z·Φ(z) = ½z(1 + erf(z/√2)); bias [C] over the last axis, or
// none. Backward needs x (and bias).
Tensor gelu(const Tensor& x, const OptionalTensor& bias);
// dx = dy·(Φ(z) + z·φ(z)); dbias (+)= its column sums, if given. If y is given, it gets forward's result
// again: whoever needs it need not keep it until backward.
Tensor gelu_backward(const Tensor& dy, const Tensor& x, const OptionalTensor& bias,
                     const OptionalTensor& dbias, bool accumulate, const OptionalTensor& y);

// x in another dtype; bf16 and f16 round to nearest even.
Tensor cast(const Tensor& x, Dtype dtype);
// cast into memory that exists: y = x.
void copy_into(const Tensor& x, const Tensor& y);
// alpha·a + beta·b, equal shapes and dtypes.
Tensor add(const Tensor& a, const Tensor& b, double alpha, double beta);
// The same into a: a = alpha·a + beta·b.
void add_into(const Tensor& a, const Tensor& b, double alpha, double beta);
// x·factor, where factor is one number in device memory (f32; f64 with f64).
Tensor scale_by(const Tensor& x, const Tensor& factor);
// factor·Σx as one number, in f32 (f64 with f64). With factor 1/n it is the mean.
Tensor sum(const Tensor& x, double factor);

void fill(const Tensor& y, double value);
// Uniform in [low, high), element i from Philox draw (seed, stream, 0, i). `seed` is below 2^53.
void uniform(const Tensor& y, double low, double high, double seed, int64_t stream);
// Normal with mean 0 and the deviation, cut at ±cut (in units of x), by inversion, as torch's trunc_normal_.
void truncated_normal(const Tensor& y, double deviation, double cut, double seed, int64_t stream);

}  // namespace ops
}  // namespace cae
