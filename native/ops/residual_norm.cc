#include "ops/residual_norm.h"

#include "ops/checks.h"

namespace cae::ops {
namespace {

// That the dtypes of a branch and of a normalised copy go with a stream's.
void check_dtypes(const char* op, const Tensor& stream, Dtype branch, Dtype normal) {
  check(stream.dtype() == parameter_dtype(branch), op, "the stream is ", dtype_name(stream.dtype()),
        ", expected ", dtype_name(parameter_dtype(branch)), " beside a branch in ", dtype_name(branch));
  check(normal == branch || normal == stream.dtype(), op, "a normalised copy in ", dtype_name(normal),
        " beside a branch in ", dtype_name(branch), "; give one of the branch's or the stream's dtype");
}

void check_factors(const char* op, const Tensor& stream, const OptionalTensor& gamma,
                   const OptionalTensor& keep, const Tensor& weight, const Tensor& bias) {
  check_rank(op, "stream", stream, 3);
  check_filled_rows(op, "stream", stream);
  const int64_t columns = stream.shape()[2];
  if (gamma) check_vector(op, "gamma", *gamma, columns, stream.dtype());
  if (keep) check_vector(op, "keep", *keep, stream.shape()[0], stream.dtype());
  check_vector(op, "weight", weight, columns, stream.dtype());
  check_vector(op, "bias", bias, columns, stream.dtype());
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor> residual_norm(const Tensor& x, const Tensor& branch,
                                                         const OptionalTensor& gamma,
                                                         const OptionalTensor& keep, const Tensor& weight,
                                                         const Tensor& bias, double eps, Dtype dtype) {
  constexpr auto op = "residual_norm";
  check_dtypes(op, x, branch.dtype(), dtype);
  check_factors(op, x, gamma, keep, weight, bias);
  check_shape(op, "branch", branch, x.shape());
  Tensor stream = Tensor::empty_like(x);
  Tensor y = Tensor::empty(x.device(), x.shape(), dtype);
  Tensor mean = Tensor::empty(x.device(), {x.shape().rows()}, x.dtype());
  Tensor rstd = Tensor::empty_like(mean);
  CAE_LAUNCH(x.device(), residual_norm_forward, x, branch, gamma, keep, weight, bias, eps, stream, y, mean,
             rstd);
  return {stream, y, mean, rstd};
}

std::tuple<Tensor, Tensor> residual_norm_backward(
    const Tensor& dy, const OptionalTensor& dstream, const Tensor& stream, const OptionalTensor& branch,
    const OptionalTensor& gamma, const OptionalTensor& keep, const Tensor& weight, const Tensor& bias,
    const Tensor& mean, const Tensor& rstd, Dtype dtype, const OptionalTensor& dgamma,
    const OptionalTensor& dweight, const OptionalTensor& dbias, bool accumulate, const OptionalTensor& y) {
  constexpr auto op = "residual_norm_backward";
  const Dtype parameters = stream.dtype();
  check_dtypes(op, stream, dtype, dy.dtype());
  check_factors(op, stream, gamma, keep, weight, bias);
  const int64_t columns = stream.shape()[2];
  check_shape(op, "dy", dy, stream.shape());
  if (dstream) check_shape(op, "dstream", *dstream, stream.shape());
  if (dstream) check_dtype(op, "dstream", *dstream, parameters);
  check_vector(op, "mean", mean, stream.shape().rows(), parameters);
  check_vector(op, "rstd", rstd, stream.shape().rows(), parameters);
  check(!dgamma || branch, op, "dgamma needs the branch");
  if (branch) check_shape(op, "branch", *branch, stream.shape());
  if (branch) check_dtype(op, "branch", *branch, dtype);
  if (dgamma) check_vector(op, "dgamma", *dgamma, columns, parameters);
  check(dweight.has_value() == dbias.has_value(), op, "dweight and dbias come together");
  if (dweight) check_vector(op, "dweight", *dweight, columns, parameters);
  if (dbias) check_vector(op, "dbias", *dbias, columns, parameters);
  if (y) check_shape(op, "y", *y, stream.shape());
  if (y) check_dtype(op, "y", *y, dy.dtype());
  Tensor dx = Tensor::empty_like(stream);
  Tensor dbranch = Tensor::empty(stream.device(), stream.shape(), dtype);
  CAE_LAUNCH(stream.device(), residual_norm_backward, dy, dstream, stream, branch, gamma, keep, weight, bias,
             mean, rstd, dx, dbranch, dgamma, dweight, dbias, accumulate, y);
  return {dx, dbranch};
}

}  // namespace cae::ops
