#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(conv2d_forward, const TensorView& x, const TensorView& weight, const TensorView& bias,
           int64_t stride, int64_t padding, bool relu, const TensorView& y)
CAE_KERNEL(prepare_conv_weight, const TensorView& weight, const TensorView& prepared)
CAE_KERNEL(conv2d_prepared_forward, const TensorView& x, const TensorView& weight, const TensorView& bias,
           int64_t stride, int64_t padding, bool relu, const TensorView& y)
CAE_KERNEL(conv2d_backward_input, const TensorView& dy, const TensorView& weight, const TensorView& bias,
           int64_t stride, int64_t padding, const TensorView& dx)
CAE_KERNEL(conv2d_backward_weight, const TensorView& dy, const TensorView& x, int64_t stride, int64_t padding,
           const TensorView& dweight, const TensorView& dbias, bool accumulate)

namespace ops {

// Activations are NHWC, weights as torch keeps them: [out, in, k, k], square kernels. f32 and bf16 through
// oneDNN, f64 through plain loops. Biases and gradients of weights are f32 (f64 with f64).

// y[b,i,j,o] = bias[o] + Σ x[b, i·stride − padding + r, j·stride − padding + s, c]·weight[o,c,r,s], then a
// relu if asked for.  x [B,H,W,in] -> [B,(H+2p−k)/stride+1,…,out]. Backward needs x and weight (and y with
// relu).
Tensor conv2d(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
              int64_t padding, bool relu);
// A weight in the order in which its device's convolutions read it, under the shape it had: for weights that
// are frozen, which conv2d would bring into that order at each call. Only conv2d_prepared takes it.
Tensor prepare_conv_weight(const Tensor& weight);
Tensor conv2d_prepared(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
                       int64_t padding, bool relu);
// The gradient of x, height×width; dy [B,H',W',out].
Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, int64_t height, int64_t width,
                             int64_t stride, int64_t padding);
// dweight (+)= …, dbias (+)= sums of dy over all but channels, if given.
void conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& dweight,
                            const OptionalTensor& dbias, int64_t stride, int64_t padding, bool accumulate);

// Transposed convolution: weight [in, out, k, k], x [B,H,W,in] -> [B,(H−1)·stride − 2p + k,…,out]. Its
// gradients are conv2d of dy with the same weight, and conv2d_backward_weight with x and dy in each other's
// place.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
                        int64_t padding);

}  // namespace ops
}  // namespace cae
