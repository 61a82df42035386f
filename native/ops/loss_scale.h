#pragma once

#include "core/dispatch.h"
#include "core/host_device.h"

namespace cae {

// Dynamic loss scaling (Micikevicius et al., arXiv:1710.03740, section 3.2) as numbers in device memory: the
// device decides on each step, and the host need not know.
struct LossScale {
  double scale;       // what the loss of the next step is multiplied by
  double inverse;     // 1/scale
  double good_steps;  // finite steps since the scale last changed
  double skipped;     // steps that were skipped
  double last;        // the scale of the step behind
};
constexpr int64_t kLossScaleNumbers = sizeof(LossScale) / sizeof(double);

// How the scale moves.
struct LossScaleRule {
  double growth, backoff;
  double interval;  // finite steps in a row after which it grows
  CAE_HOST_DEVICE LossScale next(LossScale s, bool finite) const {
    s.last = s.scale;
    if (!finite) {
      s.scale *= backoff;
      s.good_steps = 0;
      s.skipped += 1;
    } else if ((s.good_steps += 1) >= interval) {
      s.scale *= growth;
      s.good_steps = 0;
    }
    s.inverse = 1 / s.scale;
    return s;
  }
};

CAE_KERNEL(loss_scale_start, const TensorView& state, double scale, double good_steps, double skipped)
CAE_KERNEL(loss_scale_update, const TensorView& state, const TensorView& norm, const LossScaleRule& rule)

namespace ops {

// The state of a loss scale, f64 [5] (LossScale), with these numbers.
Tensor loss_scale(double scale, double good_steps, double skipped, Device device);
// Takes note of a step: `norm` is global_norm's result for its gradients. One that is not finite multiplies
// the scale by `backoff`; `interval` finite ones in a row multiply it by `growth`.
void update_loss_scale(const Tensor& state, const Tensor& norm, double growth, double backoff,
                       double interval);

}  // namespace ops
}  // namespace cae
