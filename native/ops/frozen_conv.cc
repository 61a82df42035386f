#include "ops/frozen_conv.h"

#include <atomic>

#include "ops/checks.h"

namespace cae::ops {

Tensor frozen_conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                     const OptionalTensor& residual, int64_t stride, int64_t padding, bool relu, double gain,
                     int64_t id) {
  constexpr auto op = "frozen_conv2d";
  check_rank(op, "x", x, 4);
  check_rank(op, "weight", weight, 4);
  check_dtype(op, "weight", weight, x.dtype());
  check(x.dtype() == Dtype::F32 || x.dtype() == Dtype::BF16, op, "computes in f32 or bf16, not in ",
        dtype_name(x.dtype()));
  const Shape& w = weight.shape();
  check(x.shape()[3] == w[1], op, "x ", x.shape(), " does not end in the ", w[1], " channels of weight ", w);
  check_vector(op, "bias", bias, w[0], Dtype::F32);
  check(stride >= 1 && padding >= 0 && id > 0, op, "stride ", stride, ", padding ", padding, ", id ", id);
  const auto side = [&](int axis) { return (x.shape()[axis] + 2 * padding - w[axis + 1]) / stride + 1; };
  check(x.shape()[1] + 2 * padding >= w[2] && x.shape()[2] + 2 * padding >= w[3], op, "x ", x.shape(),
        " is smaller than the kernel of ", w);
  const Shape shape{x.shape()[0], side(1), side(2), w[0]};
  if (residual) {
    check_shape(op, "residual", *residual, shape);
    check_dtype(op, "residual", *residual, x.dtype());
    check(!relu && gain != 0, op, "with a residual there is no relu, and gain is not 0");
  }
  Tensor y = Tensor::empty(x.device(), shape, x.dtype());
  CAE_LAUNCH(x.device(), frozen_conv2d_forward, x, weight, bias, residual, stride, padding, relu, gain, id,
             y);
  return y;
}

int64_t new_frozen_conv() {
  static std::atomic<int64_t> next{1};
  return next++;
}

void forget_frozen_conv(int64_t id) {
  CAE_LAUNCH(Device{}, forget_frozen_conv, id);
}

}  // namespace cae::ops
