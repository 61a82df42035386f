#include "ops/optimizer.h"

#include "ops/checks.h"
#include "ops/loss_scale.h"

namespace cae::ops {

Tensor global_norm(const std::vector<Tensor>& gradients) {
  check(!gradients.empty(), "global_norm", "no gradients");
  const Dtype dtype = gradients[0].dtype();
  check(dtype == Dtype::F32 || dtype == Dtype::F64, "global_norm", "gradients are ", dtype_name(dtype),
        ", expected f32 or f64");
  for (const Tensor& g : gradients) check_dtype("global_norm", "a gradient", g, dtype);
  Tensor norm = Tensor::empty(gradients[0].device(), {}, dtype);
  CAE_LAUNCH(norm.device(), global_norm_forward, gradients, norm);
  return norm;
}

Tensor adamw_factors(const Tensor& norm, const Tensor& updates, const OptionalTensor& loss_scale,
                     double beta1, double beta2, double clip, double gradient_scale) {
  constexpr auto op = "adamw_factors";
  check_vector(op, "norm", norm, 1, parameter_dtype(norm.dtype()));
  check_vector(op, "updates", updates, 1, Dtype::F64);
  if (loss_scale) check_vector(op, "loss_scale", *loss_scale, kLossScaleNumbers, Dtype::F64);
  Tensor factors = Tensor::empty(norm.device(), {sizeof(AdamwFactors) / sizeof(double)}, Dtype::F64);
  const UpdateRule rule{beta1, beta2, clip, gradient_scale};
  CAE_LAUNCH(norm.device(), adamw_factors_forward, norm, updates, loss_scale, rule, factors);
  return factors;
}

void adamw(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
           const std::vector<Tensor>& first, const std::vector<Tensor>& second,
           const std::vector<Tensor>& copies, const std::vector<double>& scales,
           const std::vector<bool>& decayed, const Tensor& rates, const Tensor& factors, double beta1,
           double beta2, double eps) {
  const size_t n = parameters.size();
  check(gradients.size() == n && first.size() == n && second.size() == n && scales.size() == n &&
            decayed.size() == n,
        "adamw", "parameters, gradients, moments, scales and decayed differ in number");
  check(copies.empty() || copies.size() == n, "adamw", "copies are for all parameters or none");
  check_vector("adamw", "rates", rates, 2, Dtype::F64);
  check_vector("adamw", "factors", factors, sizeof(AdamwFactors) / sizeof(double), Dtype::F64);
  for (size_t i = 0; i < n; ++i) {
    check_dtype("adamw", "a parameter", parameters[i], parameters[0].dtype());
    for (const Tensor* other : {&gradients[i], &first[i], &second[i]}) {
      check(other->numel() == parameters[i].numel(), "adamw", "tensor ", i, " is ", parameters[i].shape(),
            " beside ", other->shape());
      check_dtype("adamw", "a gradient or moment", *other, parameters[i].dtype());
    }
    if (!copies.empty())
      check(copies[i].numel() == parameters[i].numel(), "adamw", "copy ", i, " differs in size");
  }
  if (n == 0) return;
  const AdamwConstants constants{beta1, beta2, eps};
  CAE_LAUNCH(factors.device(), adamw_forward, parameters, gradients, first, second, copies, scales, decayed,
             rates, factors, constants);
}

}  // namespace cae::ops
