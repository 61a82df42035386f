#include "ops/pointwise.h"

#include "ops/checks.h"

namespace cae::ops {

Tensor gelu(const Tensor& x, const OptionalTensor& bias) {
  check_rows("gelu", "x", x);
  if (bias) check_vector("gelu", "bias", *bias, x.shape()[-1], parameter_dtype(x.dtype()));
  Tensor y = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), gelu_forward, x, bias, y);
  return y;
}

Tensor gelu_backward(const Tensor& dy, const Tensor& x, const OptionalTensor& bias,
                     const OptionalTensor& dbias, bool accumulate, const OptionalTensor& y) {
  check_rows("gelu_backward", "x", x);
  check_shape("gelu_backward", "dy", dy, x.shape());
  if (y) check_shape("gelu_backward", "y", *y, x.shape());
  if (y) check_dtype("gelu_backward", "y", *y, x.dtype());
  check_dtype("gelu_backward", "dy", dy, x.dtype());
  if (bias) check_vector("gelu_backward", "bias", *bias, x.shape()[-1], parameter_dtype(x.dtype()));
  if (dbias) check_vector("gelu_backward", "dbias", *dbias, x.shape()[-1], parameter_dtype(x.dtype()));
  Tensor dx = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), gelu_backward, dy, x, bias, dx, dbias, accumulate, y);
  return dx;
}

Tensor cast(const Tensor& x, Dtype dtype) {
  Tensor y = Tensor::empty(x.device(), x.shape(), dtype);
  CAE_LAUNCH(x.device(), cast_forward, x, y);
  return y;
}

void copy_into(const Tensor& x, const Tensor& y) {
  check(x.numel() == y.numel(), "copy_into", "x ", x.shape(), " and y ", y.shape(), " differ in size");
  CAE_LAUNCH(x.device(), cast_forward, x, y);
}

namespace {
void check_same(const char* op, const Tensor& a, const Tensor& b) {
  check_shape(op, "b", b, a.shape());
  check_dtype(op, "b", b, a.dtype());
}
}  // namespace

Tensor add(const Tensor& a, const Tensor& b, double alpha, double beta) {
  check_same("add", a, b);
  Tensor y = Tensor::empty_like(a);
  CAE_LAUNCH(a.device(), add_forward, a, b, alpha, beta, y);
  return y;
}

void add_into(const Tensor& a, const Tensor& b, double alpha, double beta) {
  check_same("add_into", a, b);
  CAE_LAUNCH(a.device(), add_forward, a, b, alpha, beta, a);
}

Tensor scale_by(const Tensor& x, const Tensor& factor) {
  check_vector("scale_by", "factor", factor, 1, parameter_dtype(x.dtype()));
  Tensor y = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), scale_by_forward, x, factor, y);
  return y;
}

Tensor sum(const Tensor& x, double factor) {
  Tensor y = Tensor::empty(x.device(), {}, parameter_dtype(x.dtype()));
  CAE_LAUNCH(x.device(), sum_forward, x, factor, y);
  return y;
}

void fill(const Tensor& y, double value) {
  CAE_LAUNCH(y.device(), fill_constant, y, value);
}

void uniform(const Tensor& y, double low, double high, double seed, int64_t stream) {
  CAE_LAUNCH(y.device(), fill_uniform, y, low, high, seed, stream);
}

void truncated_normal(const Tensor& y, double deviation, double cut, double seed, int64_t stream) {
  check(deviation > 0 && cut > 0, "truncated_normal", "deviation ", deviation, " and cut ", cut,
        " must be over 0");
  CAE_LAUNCH(y.device(), fill_truncated_normal, y, deviation, cut, seed, stream);
}

}  // namespace cae::ops
