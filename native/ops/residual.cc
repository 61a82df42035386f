#include "ops/residual.h"

#include "ops/checks.h"

namespace cae::ops {
namespace {

void check_factors(const char* op, const Tensor& x, const OptionalTensor& gamma, const OptionalTensor& keep) {
  check_rank(op, "x", x, 3);
  const Dtype parameters = parameter_dtype(x.dtype());
  if (gamma) check_vector(op, "gamma", *gamma, x.shape()[2], parameters);
  if (keep) check_vector(op, "keep", *keep, x.shape()[0], parameters);
}

}  // namespace

Tensor residual(const Tensor& x, const Tensor& branch, const OptionalTensor& gamma,
                const OptionalTensor& keep) {
  check_factors("residual", x, gamma, keep);
  check_shape("residual", "branch", branch, x.shape());
  Tensor y = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), residual_forward, x, branch, gamma, keep, y);
  return y;
}

Tensor residual_backward(const Tensor& dy, const OptionalTensor& branch, const OptionalTensor& gamma,
                         const OptionalTensor& keep, Dtype dtype, const OptionalTensor& dgamma,
                         bool accumulate) {
  check_factors("residual_backward", dy, gamma, keep);
  check(!dgamma || branch, "residual_backward", "dgamma needs the branch");
  if (branch) check_shape("residual_backward", "branch", *branch, dy.shape());
  if (dgamma)
    check_vector("residual_backward", "dgamma", *dgamma, dy.shape()[2], parameter_dtype(dy.dtype()));
  Tensor dbranch = Tensor::empty(dy.device(), dy.shape(), dtype);
  CAE_LAUNCH(dy.device(), residual_backward, dy, branch, gamma, keep, dbranch, dgamma, accumulate);
  return dbranch;
}

Tensor drop_path(int64_t batch, Dtype dtype, double rate, double seed, int64_t stream, const Tensor& step) {
  check(rate >= 0 && rate < 1, "drop_path", "rate ", rate, " is outside [0, 1)");
  check(dtype == Dtype::F32 || dtype == Dtype::F64, "drop_path", "factors are f32 or f64");
  check_vector("drop_path", "step", step, 1, Dtype::I32);
  Tensor keep = Tensor::empty(step.device(), {batch}, dtype);
  CAE_LAUNCH(step.device(), drop_path_draw, keep, rate, seed, stream, step);
  return keep;
}

}  // namespace cae::ops
