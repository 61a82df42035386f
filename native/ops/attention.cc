#include "ops/attention.h"

#include "ops/checks.h"
#include "ops/pointwise.h"

namespace cae::ops {
namespace {

AttentionLayout self_layout(const char* op, const Tensor& qkv, int64_t heads, double scale) {
  check_rank(op, "qkv", qkv, 3);
  const int64_t row = qkv.shape()[2];
  check(row > 0 && heads > 0 && row % (3 * heads) == 0, op, "qkv ", qkv.shape(),
        " does not hold q, k and v of ", heads, " heads");
  const int64_t width = row / 3;
  return {qkv.shape()[0], heads,     width / heads, qkv.shape()[1], qkv.shape()[1], row, row,
          width,          2 * width, scale};
}

AttentionLayout cross_layout(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                             double scale) {
  check_rank(op, "q", q, 3);
  check_rank(op, "k", k, 3);
  check_shape(op, "v", v, k.shape());
  check_dtype(op, "k", k, q.dtype());
  check_dtype(op, "v", v, q.dtype());
  const int64_t width = q.shape()[2];
  check(k.shape()[0] == q.shape()[0] && k.shape()[2] == width, op, "q ", q.shape(), " and k ", k.shape(),
        " differ in batch or width");
  check(width > 0 && heads > 0 && width % heads == 0, op, "width ", width, " does not divide by ", heads,
        " heads");
  check(k.shape()[1] > 0 || q.numel() == 0, op, "q ", q.shape(), " has no keys to attend to in k ",
        k.shape());
  return {q.shape()[0], heads, width / heads, q.shape()[1], k.shape()[1], width, width, 0, 0, scale};
}

std::tuple<Tensor, Tensor> make_outputs(const Tensor& q, const AttentionLayout& a) {
  return {Tensor::empty(q.device(), {a.batch, a.q_length, a.heads * a.head_dim}, q.dtype()),
          Tensor::empty(q.device(), {a.batch, a.heads, a.q_length}, parameter_dtype(q.dtype()))};
}

std::tuple<Tensor, Tensor> forward(const Tensor& q, const Tensor& k, const Tensor& v,
                                   const AttentionLayout& a) {
  auto [out, log_sum] = make_outputs(q, a);
  CAE_LAUNCH(q.device(), attention_forward, q, k, v, a, out, log_sum);
  return {out, log_sum};
}

// That these are what a forward pass over q gave, and the gradient of its result.
void check_outputs(const char* op, const Tensor& dout, const Tensor& q, const Tensor& out,
                   const Tensor& log_sum, const AttentionLayout& a) {
  const Shape shape{a.batch, a.q_length, a.heads * a.head_dim};
  check_shape(op, "dout", dout, shape);
  check_dtype(op, "dout", dout, q.dtype());
  check_shape(op, "out", out, shape);
  check_dtype(op, "out", out, q.dtype());
  check_shape(op, "log_sum", log_sum, {a.batch, a.heads, a.q_length});
  check_dtype(op, "log_sum", log_sum, parameter_dtype(q.dtype()));
}

}  // namespace

std::tuple<Tensor, Tensor> self_attention(const Tensor& qkv, int64_t heads, double scale) {
  return forward(qkv, qkv, qkv, self_layout("self_attention", qkv, heads, scale));
}

Tensor self_attention_backward(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                               const Tensor& log_sum, int64_t heads, double scale) {
  constexpr auto op = "self_attention_backward";
  const AttentionLayout a = self_layout(op, qkv, heads, scale);
  check_outputs(op, dout, qkv, out, log_sum, a);
  Tensor dqkv = Tensor::empty_like(qkv);
  CAE_LAUNCH(qkv.device(), attention_backward, dout, qkv, qkv, qkv, a, out, log_sum, dqkv, dqkv, dqkv);
  return dqkv;
}

namespace {
void check_bias(const char* op, const Tensor& bias, const Tensor& qkv, const AttentionLayout& a) {
  check_shape(op, "bias", bias, {a.heads, a.q_length, a.k_length});
  check_dtype(op, "bias", bias, parameter_dtype(qkv.dtype()));
}
}  // namespace

std::tuple<Tensor, Tensor> biased_self_attention(const Tensor& qkv, const Tensor& bias, int64_t heads,
                                                 double scale) {
  const AttentionLayout a = self_layout("biased_self_attention", qkv, heads, scale);
  check_bias("biased_self_attention", bias, qkv, a);
  auto [out, log_sum] = make_outputs(qkv, a);
  CAE_LAUNCH(qkv.device(), biased_attention_forward, qkv, qkv, qkv, bias, a, out, log_sum);
  return {out, log_sum};
}

std::tuple<Tensor, Tensor> biased_self_attention_backward(const Tensor& dout, const Tensor& qkv,
                                                          const Tensor& bias, const Tensor& out,
                                                          const Tensor& log_sum, int64_t heads,
                                                          double scale) {
  constexpr auto op = "biased_self_attention_backward";
  const AttentionLayout a = self_layout(op, qkv, heads, scale);
  check_bias(op, bias, qkv, a);
  check_outputs(op, dout, qkv, out, log_sum, a);
  Tensor dqkv = Tensor::empty_like(qkv);
  Tensor dbias = Tensor::empty_like(bias);
  CAE_LAUNCH(qkv.device(), biased_attention_backward, dout, qkv, qkv, qkv, bias, a, out, log_sum, dqkv, dqkv,
             dqkv, dbias);
  return {dqkv, dbias};
}

std::tuple<Tensor, Tensor> cross_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                                           double scale) {
  return forward(q, k, v, cross_layout("cross_attention", q, k, v, heads, scale));
}

std::tuple<Tensor, Tensor, Tensor> cross_attention_backward(const Tensor& dout, const Tensor& q,
                                                            const Tensor& k, const Tensor& v,
                                                            const Tensor& out, const Tensor& log_sum,
                                                            int64_t heads, double scale) {
  constexpr auto op = "cross_attention_backward";
  const AttentionLayout a = cross_layout(op, q, k, v, heads, scale);
  check_outputs(op, dout, q, out, log_sum, a);
  Tensor dq = Tensor::empty_like(q);
  Tensor dk = Tensor::empty_like(k);
  Tensor dv = Tensor::empty_like(v);
  if (q.numel() == 0) {
    CAE_LAUNCH(q.device(), fill_constant, dk, 0.0);
    CAE_LAUNCH(q.device(), fill_constant, dv, 0.0);
    return {dq, dk, dv};
  }
  CAE_LAUNCH(q.device(), attention_backward, dout, q, k, v, a, out, log_sum, dq, dk, dv);
  return {dq, dk, dv};
}

}  // namespace cae::ops
