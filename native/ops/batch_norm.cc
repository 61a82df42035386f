#include "ops/batch_norm.h"

#include "ops/checks.h"

namespace cae::ops {

std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const Tensor& running_mean,
                                              const Tensor& running_variance, const Tensor& batches,
                                              double momentum, double eps, bool training) {
  constexpr auto op = "batch_norm";
  check_rank(op, "x", x, 2);
  const Dtype statistics = parameter_dtype(x.dtype());
  check_vector(op, "running_mean", running_mean, x.shape()[1], statistics);
  check_vector(op, "running_variance", running_variance, x.shape()[1], statistics);
  check_vector(op, "batches", batches, 1, Dtype::I32);
  check(!training || x.shape()[0] >= 2, op, "x ", x.shape(),
        " has no variance over its batch; train with at least 2 samples");
  Tensor y = Tensor::empty_like(x);
  Tensor mean = Tensor::empty(x.device(), {x.shape()[1]}, statistics);
  Tensor rstd = Tensor::empty_like(mean);
  CAE_LAUNCH(x.device(), batch_norm_forward, x, running_mean, running_variance, batches, momentum, eps,
             training, y, mean, rstd);
  return {y, mean, rstd};
}

Tensor batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& mean, const Tensor& rstd,
                           bool training) {
  constexpr auto op = "batch_norm_backward";
  check_rank(op, "x", x, 2);
  check_shape(op, "dy", dy, x.shape());
  check_dtype(op, "dy", dy, x.dtype());
  check_vector(op, "mean", mean, x.shape()[1], parameter_dtype(x.dtype()));
  check_vector(op, "rstd", rstd, x.shape()[1], parameter_dtype(x.dtype()));
  Tensor dx = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), batch_norm_backward, dy, x, mean, rstd, training, dx);
  return dx;
}

}  // namespace cae::ops
