// The loss scale lives in device memory and is decided on there.
#include <cmath>

#include "cuda/launch.h"
#include "ops/loss_scale.h"

namespace cae::cuda {
namespace {

__global__ void start_kernel(LossScale* state, LossScale numbers) {
  *state = numbers;
}

template <typename A>
__global__ void update_kernel(LossScale* state, const A* norm, LossScaleRule rule) {
  *state = rule.next(*state, std::isfinite(*norm));
}

}  // namespace

void loss_scale_start(const TensorView& state, double scale, double good_steps, double skipped) {
  launch("loss_scale", &start_kernel, dim3(1), dim3(1), 0, state.data<LossScale>(),
         LossScale{scale, 1 / scale, good_steps, skipped, scale});
}

void loss_scale_update(const TensorView& state, const TensorView& norm, const LossScaleRule& rule) {
  const auto run = [&]<typename A>(A) {
    launch("update_loss_scale", &update_kernel<A>, dim3(1), dim3(1), 0, state.data<LossScale>(),
           norm.data<const A>(), rule);
  };
  norm.dtype == Dtype::F64 ? run(double{}) : run(float{});
}

}  // namespace cae::cuda
