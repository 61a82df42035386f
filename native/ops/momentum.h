#pragma once

#include <vector>

#include "core/dispatch.h"

namespace cae {

// One step's numbers of an optimizer with momentum, for all tensors.
struct MomentumStep {
  double momentum;
  bool nesterov;          // SGD alone
  double trust;           // LARS alone: the trust coefficient
  double clip;            // largest global norm; 0 for no clipping
  double gradient_scale;  // gradients are multiplied by it first (1 / loss scale)
};

CAE_KERNEL(sgd_forward, const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
           const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
           const std::vector<double>& scales, const std::vector<bool>& decayed, const TensorView& rates,
           const TensorView& norm, const MomentumStep& step)
CAE_KERNEL(lars_forward, const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
           const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
           const std::vector<double>& scales, const std::vector<bool>& decayed,
           const std::vector<bool>& scaled, const TensorView& rates, const TensorView& norm,
           const MomentumStep& step)
CAE_KERNEL(moving_average_forward, const std::vector<TensorView>& averages,
           const std::vector<TensorView>& values, double decay)

namespace ops {

// Both optimizers take `rates`, f64 [2] in device memory, the learning rate and the decay of the step, as
// adamw does: a tensor's rate is that times scales[i], its decay that of the step where `decayed`, else 0.
// `copies`, too, is as adamw's (empty, or for each tensor the bf16 or f16 copy to rewrite). If global_norm's
// result is not finite, nothing changes.
//   g ← gradient·gradient_scale·min(1, clip/(norm·gradient_scale + 1e-6))

// SGD with momentum, as torch's:  d ← g + decay·p;  m ← momentum·m + d;
// p ← p − rate·(nesterov ? d + momentum·m : m)
void sgd(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
         const std::vector<Tensor>& buffers, const std::vector<Tensor>& copies,
         const std::vector<double>& scales, const std::vector<bool>& decayed, const Tensor& rates,
         const Tensor& norm, double momentum, bool nesterov, double clip, double gradient_scale);

// LARS (You et al., arXiv:1708.03888) as MoCo v3 and MAE probe with it:  d ← g + decay·p; where `scaled`,
// d ← d·trust·‖p‖/‖d‖ (unless a norm is 0);  m ← momentum·m + d;  p ← p − rate·m
void lars(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
          const std::vector<Tensor>& buffers, const std::vector<Tensor>& copies,
          const std::vector<double>& scales, const std::vector<bool>& decayed,
          const std::vector<bool>& scaled, const Tensor& rates, const Tensor& norm, double momentum,
          double trust, double clip, double gradient_scale);

// a ← decay·a + (1 − decay)·value for each pair of equal tensors, f32 or f64: a running average of weights.
void moving_average(const std::vector<Tensor>& averages, const std::vector<Tensor>& values, double decay);

}  // namespace ops
}  // namespace cae
