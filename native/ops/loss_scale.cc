#include "ops/loss_scale.h"

#include "ops/checks.h"

namespace cae::ops {

Tensor loss_scale(double scale, double good_steps, double skipped, Device device) {
  check(scale > 0, "loss_scale", "scale ", scale, " is not above 0");
  Tensor state = Tensor::empty(device, {kLossScaleNumbers}, Dtype::F64);
  CAE_LAUNCH(device, loss_scale_start, state, scale, good_steps, skipped);
  return state;
}

void update_loss_scale(const Tensor& state, const Tensor& norm, double growth, double backoff,
                       double interval) {
  constexpr auto op = "update_loss_scale";
  check_vector(op, "state", state, kLossScaleNumbers, Dtype::F64);
  check_vector(op, "norm", norm, 1, parameter_dtype(norm.dtype()));
  const LossScaleRule rule{growth, backoff, interval};
  CAE_LAUNCH(state.device(), loss_scale_update, state, norm, rule);
}

}  // namespace cae::ops
