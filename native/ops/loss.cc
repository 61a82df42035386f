#include "ops/loss.h"

#include "ops/checks.h"

namespace cae::ops {

std::tuple<Tensor, Tensor, Tensor> cross_entropy(const Tensor& logits, const Tensor& labels, bool in_place,
                                                 double factor) {
  check_rank("cross_entropy", "logits", logits, 2);
  check_vector("cross_entropy", "labels", labels, logits.shape()[0], Dtype::I32);
  const Dtype dtype = parameter_dtype(logits.dtype());
  Tensor loss = Tensor::empty(logits.device(), {}, dtype);
  Tensor accuracy = Tensor::empty(logits.device(), {}, dtype);
  Tensor dlogits = in_place ? logits : Tensor::empty_like(logits);
  CAE_LAUNCH(logits.device(), cross_entropy_forward, logits, labels, loss, accuracy, dlogits, factor);
  return {loss, accuracy, dlogits};
}

Tensor mse(const Tensor& x, const Tensor& target) {
  check_rows("mse", "x", x);
  check_shape("mse", "target", target, x.shape());
  Tensor loss = Tensor::empty(x.device(), {}, parameter_dtype(x.dtype()));
  CAE_LAUNCH(x.device(), mse_forward, x, target, loss);
  return loss;
}

Tensor mse_backward(const Tensor& dloss, const Tensor& x, const Tensor& target) {
  check_shape("mse_backward", "target", target, x.shape());
  check_vector("mse_backward", "dloss", dloss, 1, parameter_dtype(x.dtype()));
  Tensor dx = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), mse_backward, dloss, x, target, dx);
  return dx;
}

std::tuple<Tensor, Tensor> smooth_l1(const Tensor& x, const Tensor& target) {
  check_shape("smooth_l1", "target", target, x.shape());
  check_dtype("smooth_l1", "target", target, x.dtype());
  Tensor loss = Tensor::empty(x.device(), {}, parameter_dtype(x.dtype()));
  Tensor gradient = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), smooth_l1_forward, x, target, loss, gradient);
  return {loss, gradient};
}

std::tuple<Tensor, Tensor> kl_to_uniform(const Tensor& logits, double factor) {
  check_filled_rows("kl_to_uniform", "logits", logits);
  Tensor loss = Tensor::empty(logits.device(), {}, parameter_dtype(logits.dtype()));
  Tensor gradient = Tensor::empty_like(logits);
  CAE_LAUNCH(logits.device(), kl_to_uniform_forward, logits, factor, loss, gradient);
  return {loss, gradient};
}

}  // namespace cae::ops
