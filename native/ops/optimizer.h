#pragma once

#include <vector>

#include "core/dispatch.h"

namespace cae {

// One AdamW step's numbers, for all tensors.
struct AdamwStep {
  double beta1, beta2, eps;
  int64_t step;           // 1 at the first step; bias correction counts from it
  double clip;            // largest global norm; 0 for no clipping
  double gradient_scale;  // gradients are multiplied by it first (1 / loss scale)
};

CAE_KERNEL(global_norm_forward, const std::vector<TensorView>& gradients, const TensorView& norm)
CAE_KERNEL(adamw_forward, const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
           const std::vector<TensorView>& first, const std::vector<TensorView>& second,
           const std::vector<TensorView>& copies, const std::vector<double>& rates,
           const std::vector<double>& decays, const TensorView& norm, const AdamwStep& step)

namespace ops {

// L2 norm over all elements of all gradients (f32 or f64 each), as one f32 number (f64 if they are). It is
// not finite exactly if some gradient is not (or overflows when squared in double).
Tensor global_norm(const std::vector<Tensor>& gradients);

// AdamW with decoupled decay (Loshchilov & Hutter, 2019) over many tensors, in one pass over memory:
//   g ← gradient·gradient_scale·min(1, clip/(norm·gradient_scale + 1e-6))
//   p ← p·(1 − rate·decay);  m ← β1·m + (1−β1)·g;  v ← β2·v + (1−β2)·g²
//   p ← p − rate·(m/(1−β1^t)) / (√v/√(1−β2^t) + eps)
// rates and decays hold one number a tensor. `copies` is empty, or holds for each tensor the bf16 or f16 copy
// that the same pass rewrites from p. `norm` is global_norm's result for these gradients: if it is not
// finite, nothing changes.
void adamw(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
           const std::vector<Tensor>& first, const std::vector<Tensor>& second,
           const std::vector<Tensor>& copies, const std::vector<double>& rates,
           const std::vector<double>& decays, const Tensor& norm, double beta1, double beta2, double eps,
           int64_t step, double clip, double gradient_scale);

}  // namespace ops
}  // namespace cae
