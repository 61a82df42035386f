#include "ops/class_loss.h"

#include "ops/checks.h"

namespace cae::ops {

std::tuple<Tensor, Tensor> soft_cross_entropy(const Tensor& logits, const Tensor& targets) {
  constexpr auto op = "soft_cross_entropy";
  check_rank(op, "logits", logits, 2);
  check_filled_rows(op, "logits", logits);
  check_shape(op, "targets", targets, logits.shape());
  check_dtype(op, "targets", targets, parameter_dtype(logits.dtype()));
  Tensor loss = Tensor::empty(logits.device(), {}, parameter_dtype(logits.dtype()));
  Tensor dlogits = Tensor::empty_like(logits);
  CAE_LAUNCH(logits.device(), soft_cross_entropy_forward, logits, targets, loss, dlogits);
  return {loss, dlogits};
}

std::tuple<Tensor, Tensor> smooth_cross_entropy(const Tensor& logits, const Tensor& labels,
                                                double smoothing) {
  constexpr auto op = "smooth_cross_entropy";
  check_rank(op, "logits", logits, 2);
  check_vector(op, "labels", labels, logits.shape()[0], Dtype::I32);
  check(smoothing >= 0 && smoothing < 1, op, "smoothing ", smoothing, " is outside [0, 1)");
  Tensor loss = Tensor::empty(logits.device(), {}, parameter_dtype(logits.dtype()));
  Tensor dlogits = Tensor::empty_like(logits);
  CAE_LAUNCH(logits.device(), smooth_cross_entropy_forward, logits, labels, smoothing, loss, dlogits);
  return {loss, dlogits};
}

Tensor label_ranks(const Tensor& logits, const Tensor& labels) {
  constexpr auto op = "label_ranks";
  check_rank(op, "logits", logits, 2);
  check_vector(op, "labels", labels, logits.shape()[0], Dtype::I32);
  Tensor ranks = Tensor::empty(logits.device(), {logits.shape()[0]}, Dtype::I32);
  CAE_LAUNCH(logits.device(), label_ranks_forward, logits, labels, ranks);
  return ranks;
}

}  // namespace cae::ops
