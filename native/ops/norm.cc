#include "ops/norm.h"

#include "ops/checks.h"

namespace cae::ops {

std::tuple<Tensor, Tensor, Tensor> layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                              double eps, Dtype dtype) {
  check_filled_rows("layer_norm", "x", x);
  const Dtype parameters = parameter_dtype(x.dtype());
  check_vector("layer_norm", "weight", weight, x.shape()[-1], parameters);
  check_vector("layer_norm", "bias", bias, x.shape()[-1], parameters);
  Tensor y = Tensor::empty(x.device(), x.shape(), dtype);
  Tensor mean = Tensor::empty(x.device(), {x.shape().rows()}, parameters);
  Tensor rstd = Tensor::empty_like(mean);
  CAE_LAUNCH(x.device(), layer_norm_forward, x, weight, bias, eps, y, mean, rstd);
  return {y, mean, rstd};
}

Tensor layer_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Tensor& mean, const Tensor& rstd, const OptionalTensor& dweight,
                           const OptionalTensor& dbias, bool accumulate, const OptionalTensor& y) {
  constexpr auto op = "layer_norm_backward";
  check_filled_rows(op, "x", x);
  const Dtype parameters = parameter_dtype(x.dtype());
  check_shape(op, "dy", dy, x.shape());
  check_vector(op, "weight", weight, x.shape()[-1], parameters);
  check_vector(op, "bias", bias, x.shape()[-1], parameters);
  check_vector(op, "mean", mean, x.shape().rows(), parameters);
  check_vector(op, "rstd", rstd, x.shape().rows(), parameters);
  check(dweight.has_value() == dbias.has_value(), op, "dweight and dbias come together");
  if (dweight) check_vector(op, "dweight", *dweight, x.shape()[-1], parameters);
  if (dbias) check_vector(op, "dbias", *dbias, x.shape()[-1], parameters);
  if (y) check_shape(op, "y", *y, x.shape());
  if (y) check_dtype(op, "y", *y, dy.dtype());
  Tensor dx = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), layer_norm_backward, dy, x, weight, bias, mean, rstd, dx, dweight, dbias, accumulate,
             y);
  return dx;
}

}  // namespace cae::ops
