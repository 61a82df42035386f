#pragma once

#include <vector>

#include "core/dispatch.h"

namespace cae {

// AdamW's numbers that are the same in every step.
struct AdamwConstants {
  double beta1, beta2, eps;
};

// What an update's kernels read, as f64 numbers in device memory.
struct AdamwFactors {
  double gradient;      // on gradients: clipping and scales; not a number where the update is skipped
  double first_share;   // 1 − β1^t
  double second_scale;  // 1/√(1 − β2^t)
};

// What decides on an update.
struct UpdateRule {
  double beta1, beta2;
  double clip;            // largest global norm; 0 for no clipping
  double gradient_scale;  // gradients are multiplied by it first
};

CAE_KERNEL(global_norm_forward, const std::vector<TensorView>& gradients, const TensorView& norm)
CAE_KERNEL(adamw_factors_forward, const TensorView& norm, const TensorView& updates,
           const TensorView& loss_scale, const UpdateRule& rule, const TensorView& factors)
CAE_KERNEL(adamw_forward, const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
           const std::vector<TensorView>& first, const std::vector<TensorView>& second,
           const std::vector<TensorView>& copies, const std::vector<double>& scales,
           const std::vector<bool>& decayed, const TensorView& rates, const TensorView& factors,
           const AdamwConstants& constants)

namespace ops {

// L2 norm over all elements of all gradients (f32 or f64 each), as one f32 number (f64 if they are). It is
// not finite exactly if some gradient is not (or overflows when squared in double).
Tensor global_norm(const std::vector<Tensor>& gradients);

// Decides on an update where the gradients are: nothing waits for the answer. With s = gradient_scale over
// the loss scale (see loss_scale.h; 1 without one) and `norm` global_norm's result, a norm that is finite
// counts t, the one f64 number of `updates`, up and gives (s·min(1, clip/(norm·s + 1e-6)), 1−β1^t,
// 1/√(1−β2^t)); one that is not gives a factor that is no number, by which adamw changes nothing. Returns f64
// [3] (AdamwFactors).
Tensor adamw_factors(const Tensor& norm, const Tensor& updates, const OptionalTensor& loss_scale,
                     double beta1, double beta2, double clip, double gradient_scale);

// AdamW with decoupled decay (Loshchilov & Hutter, 2019) over many tensors, in one pass over memory:
//   g ← gradient·factor;  p ← p·(1 − rate·decay);  m ← β1·m + (1−β1)·g;  v ← β2·v + (1−β2)·g²
//   p ← p − rate·(m/(1−β1^t)) / (√v/√(1−β2^t) + eps)
// `rates` f64 [2] holds the learning rate and the decay of the step, in device memory like `factors`
// (adamw_factors' result for these gradients); a tensor's rate is rate·scales[i], its decay that of the step
// where `decayed`, else 0. `copies` is empty, or holds for each tensor the bf16 or f16 copy that the same
// pass rewrites from p.
void adamw(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
           const std::vector<Tensor>& first, const std::vector<Tensor>& second,
           const std::vector<Tensor>& copies, const std::vector<double>& scales,
           const std::vector<bool>& decayed, const Tensor& rates, const Tensor& factors, double beta1,
           double beta2, double eps);

}  // namespace ops
}  // namespace cae
