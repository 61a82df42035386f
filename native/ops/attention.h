#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

// Where the heads lie. q is [B, Tq] rows of q_row elements, k and v are [B, Tk] rows of kv_row elements; a
// head's values are head_dim neighbours in a row, heads side by side from the offset on. So a fused [B,T,3C]
// projection is read in place: q_row = kv_row = 3C, offsets 0, C, 2C.
struct AttentionLayout {
  int64_t batch, heads, head_dim, q_length, k_length, q_row, kv_row, k_offset, v_offset;
  double scale;
};

CAE_KERNEL(attention_forward, const TensorView& q, const TensorView& k, const TensorView& v,
           const AttentionLayout& layout, const TensorView& out, const TensorView& log_sum)
CAE_KERNEL(attention_backward, const TensorView& dout, const TensorView& q, const TensorView& k,
           const TensorView& v, const AttentionLayout& layout, const TensorView& out,
           const TensorView& log_sum, const TensorView& dq, const TensorView& dk, const TensorView& dv)
CAE_KERNEL(biased_attention_forward, const TensorView& q, const TensorView& k, const TensorView& v,
           const TensorView& bias, const AttentionLayout& layout, const TensorView& out,
           const TensorView& log_sum)
CAE_KERNEL(biased_attention_backward, const TensorView& dout, const TensorView& q, const TensorView& k,
           const TensorView& v, const TensorView& bias, const AttentionLayout& layout, const TensorView& out,
           const TensorView& log_sum, const TensorView& dq, const TensorView& dk, const TensorView& dv,
           const TensorView& dbias)

namespace ops {

// softmax(scale·q·kᵀ)·v per head, over a fused projection.  qkv [B,T,3C] (q, k, v side by side, heads within
// each), returns (out [B,T,C], log_sum [B,heads,T]: each query's log-sum-exp in f32, or f64 with f64).
// Probabilities are never kept: backward recomputes them from log_sum. Softmax in f32.
std::tuple<Tensor, Tensor> self_attention(const Tensor& qkv, int64_t heads, double scale);
// Gradient [B,T,3C] of the fused projection.
Tensor self_attention_backward(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                               const Tensor& log_sum, int64_t heads, double scale);

// softmax(scale·q·kᵀ + bias)·v: self_attention with a bias [heads,T,T] that all samples share, in f32 (f64
// with f64).
std::tuple<Tensor, Tensor> biased_self_attention(const Tensor& qkv, const Tensor& bias, int64_t heads,
                                                 double scale);
// Gradients of the fused projection and of the bias: the latter, [heads,T,T], is summed over samples in an
// order that depends on the number of threads alone.
std::tuple<Tensor, Tensor> biased_self_attention_backward(const Tensor& dout, const Tensor& qkv,
                                                          const Tensor& bias, const Tensor& out,
                                                          const Tensor& log_sum, int64_t heads, double scale);

// self_attention with q [B,Tq,C] and k, v [B,Tk,C] of their own.
std::tuple<Tensor, Tensor> cross_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                                           double scale);
std::tuple<Tensor, Tensor, Tensor> cross_attention_backward(const Tensor& dout, const Tensor& q,
                                                            const Tensor& k, const Tensor& v,
                                                            const Tensor& out, const Tensor& log_sum,
                                                            int64_t heads, double scale);

}  // namespace ops
}  // namespace cae
