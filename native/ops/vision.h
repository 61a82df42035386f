#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(relu_forward, const TensorView& x, const TensorView& y)
CAE_KERNEL(relu_backward, const TensorView& dy, const TensorView& y, const TensorView& dx)
CAE_KERNEL(sigmoid_forward, const TensorView& x, const TensorView& y)
CAE_KERNEL(sigmoid_backward, const TensorView& dy, const TensorView& y, const TensorView& dx)
CAE_KERNEL(max_pool2_forward, const TensorView& x, const TensorView& y)
CAE_KERNEL(max_pool2_backward, const TensorView& dy, const TensorView& x, const TensorView& dx)
CAE_KERNEL(upsample2_forward, const TensorView& x, const TensorView& y)
CAE_KERNEL(upsample2_backward, const TensorView& dy, const TensorView& dx)
CAE_KERNEL(argmax_forward, const TensorView& x, const TensorView& y)
CAE_KERNEL(gumbel_softmax_forward, const TensorView& logits, const TensorView& noise, double temperature,
           double seed, int64_t stream, int64_t step, const TensorView& y)
CAE_KERNEL(gumbel_softmax_backward, const TensorView& dy, const TensorView& y, double temperature,
           const TensorView& dlogits)

namespace ops {

// max(x, 0), and NaN of NaN; backward needs y alone.
Tensor relu(const Tensor& x);
Tensor relu_backward(const Tensor& dy, const Tensor& y);
// 1/(1 + e^−x); backward needs y alone.
Tensor sigmoid(const Tensor& x);
Tensor sigmoid_backward(const Tensor& dy, const Tensor& y);

// Largest of each 2×2 square of x [B,H,W,C], even H and W; a NaN counts as larger than any number. The
// gradient goes to the first of equals and to the last NaN, as torch's.
Tensor max_pool2(const Tensor& x);
Tensor max_pool2_backward(const Tensor& dy, const Tensor& x);
// Each pixel of x [B,H,W,C] as a 2×2 square (nearest neighbour).
Tensor upsample2(const Tensor& x);
Tensor upsample2_backward(const Tensor& dy);

// Index of the largest along the last axis, the first of equals, or of the first NaN: [...,V] -> i32 [...].
Tensor argmax(const Tensor& x);

// softmax((logits + noise)/temperature) over the last axis, softmax in f32. `noise` in f32 of the logits'
// shape, or none: then Gumbel noise −log(−log u) from Philox draws (seed, stream, step, element). Backward
// needs y alone.
Tensor gumbel_softmax(const Tensor& logits, const OptionalTensor& noise, double temperature, double seed,
                      int64_t stream, int64_t step);
Tensor gumbel_softmax_backward(const Tensor& dy, const Tensor& y, double temperature);

}  // namespace ops
}  // namespace cae
