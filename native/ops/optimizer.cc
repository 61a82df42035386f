#include "ops/optimizer.h"

#include "ops/checks.h"

namespace cae::ops {

Tensor global_norm(const std::vector<Tensor>& gradients) {
  check(!gradients.empty(), "global_norm", "no gradients");
  for (const Tensor& g : gradients) check_dtype("global_norm", "a gradient", g, gradients[0].dtype());
  Tensor norm = Tensor::empty(gradients[0].device(), {}, parameter_dtype(gradients[0].dtype()));
  CAE_LAUNCH(norm.device(), global_norm_forward, gradients, norm);
  return norm;
}

void adamw(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
           const std::vector<Tensor>& first, const std::vector<Tensor>& second,
           const std::vector<Tensor>& copies, const std::vector<double>& rates,
           const std::vector<double>& decays, const Tensor& norm, double beta1, double beta2, double eps,
           int64_t step, double clip, double gradient_scale) {
  const size_t n = parameters.size();
  check(gradients.size() == n && first.size() == n && second.size() == n && rates.size() == n &&
            decays.size() == n,
        "adamw", "parameters, gradients, moments, rates and decays differ in number");
  check(copies.empty() || copies.size() == n, "adamw", "copies are for all parameters or none");
  check(step >= 1, "adamw", "step ", step, " is below 1");
  for (size_t i = 0; i < n; ++i) {
    for (const Tensor* other : {&gradients[i], &first[i], &second[i]}) {
      check(other->numel() == parameters[i].numel(), "adamw", "tensor ", i, " is ", parameters[i].shape(),
            " beside ", other->shape());
      check_dtype("adamw", "a gradient or moment", *other, parameters[i].dtype());
    }
    if (!copies.empty())
      check(copies[i].numel() == parameters[i].numel(), "adamw", "copy ", i, " differs in size");
  }
  if (n == 0) return;
  const AdamwStep numbers{beta1, beta2, eps, step, clip, gradient_scale};
  CAE_LAUNCH(norm.device(), adamw_forward, parameters, gradients, first, second, copies, rates, decays, norm,
             numbers);
}

}  // namespace cae::ops
