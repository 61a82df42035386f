#include "ops/loss_scale.h"

#include <cmath>

namespace cae::cpu {

void loss_scale_start(const TensorView& state, double scale, double good_steps, double skipped) {
  *state.data<LossScale>() = {scale, 1 / scale, good_steps, skipped, scale};
}

void loss_scale_update(const TensorView& state, const TensorView& norm, const LossScaleRule& rule) {
  const bool finite =
      norm.dtype == Dtype::F64 ? std::isfinite(*norm.data<double>()) : std::isfinite(*norm.data<float>());
  auto* const numbers = state.data<LossScale>();
  *numbers = rule.next(*numbers, finite);
}

}  // namespace cae::cpu
