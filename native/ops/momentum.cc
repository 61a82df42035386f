#include "ops/momentum.h"

#include "ops/checks.h"

namespace cae::ops {
namespace {

void check_lists(const char* op, const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
                 const std::vector<Tensor>& buffers, const std::vector<Tensor>& copies,
                 const std::vector<double>& scales, const std::vector<bool>& decayed, const Tensor& rates,
                 const Tensor& norm) {
  const size_t n = parameters.size();
  check(n > 0, op, "no parameters");
  check(gradients.size() == n && buffers.size() == n && scales.size() == n && decayed.size() == n, op,
        "parameters, gradients, buffers, scales and decayed differ in number");
  check_vector(op, "rates", rates, 2, Dtype::F64);
  check(copies.empty() || copies.size() == n, op, "copies are for all parameters or none");
  check_vector(op, "norm", norm, 1, parameter_dtype(parameters[0].dtype()));
  for (size_t i = 0; i < n; ++i) {
    for (const Tensor* other : {&gradients[i], &buffers[i]}) {
      check(other->numel() == parameters[i].numel(), op, "tensor ", i, " is ", parameters[i].shape(),
            " beside ", other->shape());
      check_dtype(op, "a gradient or buffer", *other, parameters[i].dtype());
    }
    if (!copies.empty())
      check(copies[i].numel() == parameters[i].numel(), op, "copy ", i, " differs in size");
  }
}

}  // namespace

void sgd(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
         const std::vector<Tensor>& buffers, const std::vector<Tensor>& copies,
         const std::vector<double>& scales, const std::vector<bool>& decayed, const Tensor& rates,
         const Tensor& norm, double momentum, bool nesterov, double clip, double gradient_scale) {
  check_lists("sgd", parameters, gradients, buffers, copies, scales, decayed, rates, norm);
  const MomentumStep step{momentum, nesterov, 0, clip, gradient_scale};
  CAE_LAUNCH(norm.device(), sgd_forward, parameters, gradients, buffers, copies, scales, decayed, rates, norm,
             step);
}

void lars(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
          const std::vector<Tensor>& buffers, const std::vector<Tensor>& copies,
          const std::vector<double>& scales, const std::vector<bool>& decayed,
          const std::vector<bool>& scaled, const Tensor& rates, const Tensor& norm, double momentum,
          double trust, double clip, double gradient_scale) {
  check_lists("lars", parameters, gradients, buffers, copies, scales, decayed, rates, norm);
  check(scaled.size() == parameters.size(), "lars", "parameters and scaled differ in number");
  const MomentumStep step{momentum, false, trust, clip, gradient_scale};
  CAE_LAUNCH(norm.device(), lars_forward, parameters, gradients, buffers, copies, scales, decayed, scaled,
             rates, norm, step);
}

void moving_average(const std::vector<Tensor>& averages, const std::vector<Tensor>& values, double decay) {
  constexpr auto op = "moving_average";
  check(averages.size() == values.size(), op, "averages and values differ in number");
  check(decay >= 0 && decay <= 1, op, "decay ", decay, " is outside [0, 1]");
  for (size_t i = 0; i < values.size(); ++i) {
    check_shape(op, "an average", averages[i], values[i].shape());
    check_dtype(op, "an average", averages[i], values[i].dtype());
    check(values[i].dtype() == Dtype::F32 || values[i].dtype() == Dtype::F64, op, "tensor ", i, " is ",
          dtype_name(values[i].dtype()), ", expected f32 or f64");
  }
  if (values.empty()) return;
  CAE_LAUNCH(values[0].device(), moving_average_forward, averages, values, decay);
}

}  // namespace cae::ops
