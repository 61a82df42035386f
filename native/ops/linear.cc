#include "ops/linear.h"

#include "ops/checks.h"

namespace cae::ops {

Tensor linear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
  check_rank("linear", "weight", weight, 2);
  check(x.shape().rank() >= 1 && x.shape()[-1] == weight.shape()[1], "linear", "x ", x.shape(),
        " does not end in the ", weight.shape()[1], " inputs of weight ", weight.shape());
  check_dtype("linear", "weight", weight, x.dtype());
  if (bias) check_vector("linear", "bias", *bias, weight.shape()[0], parameter_dtype(x.dtype()));
  Tensor y = Tensor::empty(x.device(), x.shape().with_last(weight.shape()[0]), x.dtype());
  CAE_LAUNCH(x.device(), linear_forward, x, weight, bias, y);
  return y;
}

Tensor linear_backward_input(const Tensor& dy, const Tensor& weight) {
  check_rank("linear_backward_input", "weight", weight, 2);
  check(dy.shape().rank() >= 1 && dy.shape()[-1] == weight.shape()[0], "linear_backward_input", "dy ",
        dy.shape(), " does not end in the ", weight.shape()[0], " outputs of weight ", weight.shape());
  check_dtype("linear_backward_input", "weight", weight, dy.dtype());
  Tensor dx = Tensor::empty(dy.device(), dy.shape().with_last(weight.shape()[1]), dy.dtype());
  CAE_LAUNCH(dy.device(), linear_backward_input, dy, weight, dx);
  return dx;
}

void linear_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& dweight,
                            const OptionalTensor& dbias, bool accumulate, bool accumulate_bias) {
  constexpr auto op = "linear_backward_weight";
  check_rows(op, "dy", dy);
  check_rows(op, "x", x);
  check(dy.shape().rows() == x.shape().rows(), op, "dy ", dy.shape(), " and x ", x.shape(),
        " differ in rows");
  check_dtype(op, "x", x, dy.dtype());
  check_vector(op, "dweight", dweight, dy.shape()[-1] * x.shape()[-1], parameter_dtype(dy.dtype()));
  if (dbias) check_vector(op, "dbias", *dbias, dy.shape()[-1], parameter_dtype(dy.dtype()));
  CAE_LAUNCH(dy.device(), linear_backward_weight, dy, x, dweight, dbias, accumulate, accumulate_bias);
}

}  // namespace cae::ops
