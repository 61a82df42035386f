#include "ops/conv.h"

#include <algorithm>

#include "ops/checks.h"
#include "ops/pointwise.h"

namespace cae::ops {
namespace {

// Strides and paddings above it are a mistake; up to it, sizes stay far from 2^63.
constexpr int64_t kMostStep = 1 << 15;

void check_steps(const char* op, int64_t stride, int64_t padding) {
  check(stride >= 1 && stride <= kMostStep && padding >= 0 && padding <= kMostStep, op, "stride ", stride,
        " and padding ", padding, " are not within 1 and 0 to ", kMostStep);
}

// A square kernel, and channels on both sides.
void check_weight(const char* op, const char* name, const Tensor& weight) {
  const Shape& s = weight.shape();
  check(s[2] == s[3], op, name, " ", s, " has no square kernel");
  check(s.numel() > 0, op, name, " ", s, " has no elements");
}

// The height or width of a convolution's result over n rows or columns.
int64_t side_of(int64_t n, const Shape& weight, int64_t stride, int64_t padding) {
  return (n + 2 * padding - weight[2]) / stride + 1;
}
bool goes_over(int64_t height, int64_t width, const Shape& weight, int64_t padding) {
  const int64_t least = std::min(height, width);
  return least > 0 && least + 2 * padding >= weight[2];
}

void check_conv(const char* op, const Tensor& x, const Tensor& weight, int axis, int64_t stride,
                int64_t padding) {
  check_rank(op, "x", x, 4);
  check_rank(op, "weight", weight, 4);
  check_dtype(op, "weight", weight, x.dtype());
  check_weight(op, "weight", weight);
  check(x.shape()[3] == weight.shape()[axis], op, "x ", x.shape(), " has ", x.shape()[3],
        " channels, weight ", weight.shape(), " takes ", weight.shape()[axis]);
  check_steps(op, stride, padding);
}

// That dy is the gradient of a convolution of a [batch,height,width] picture with a weight of this shape.
void check_gradient(const char* op, const Tensor& dy, int64_t batch, int64_t height, int64_t width,
                    const Shape& weight, int64_t stride, int64_t padding) {
  check(goes_over(height, width, weight, padding), op, "a weight ", weight, " does not go over a picture of ",
        height, "x", width);
  check_shape(
      op, "dy", dy,
      {batch, side_of(height, weight, stride, padding), side_of(width, weight, stride, padding), weight[0]});
}

// The result of a convolution, not yet computed.
Tensor room_for(const char* op, const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                int64_t stride, int64_t padding) {
  check_conv(op, x, weight, 1, stride, padding);
  if (bias) check_vector(op, "bias", *bias, weight.shape()[0], parameter_dtype(x.dtype()));
  const Shape& s = x.shape();
  const Shape& w = weight.shape();
  check(goes_over(s[1], s[2], w, padding), op, "x ", s, " is smaller than the kernel of ", w);
  return Tensor::empty(x.device(),
                       {s[0], side_of(s[1], w, stride, padding), side_of(s[2], w, stride, padding), w[0]},
                       x.dtype());
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
              int64_t padding, bool relu) {
  Tensor y = room_for("conv2d", x, weight, bias, stride, padding);
  if (y.numel() > 0) CAE_LAUNCH(x.device(), conv2d_forward, x, weight, bias, stride, padding, relu, y);
  return y;
}

Tensor prepare_conv_weight(const Tensor& weight) {
  check_rank("prepare_conv_weight", "weight", weight, 4);
  Tensor prepared = Tensor::empty(weight.device(), weight.shape(), weight.dtype());
  CAE_LAUNCH(weight.device(), prepare_conv_weight, weight, prepared);
  return prepared;
}

Tensor conv2d_prepared(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
                       int64_t padding, bool relu) {
  Tensor y = room_for("conv2d_prepared", x, weight, bias, stride, padding);
  if (y.numel() > 0)
    CAE_LAUNCH(x.device(), conv2d_prepared_forward, x, weight, bias, stride, padding, relu, y);
  return y;
}

Tensor conv2d_backward_input(const Tensor& dy, const Tensor& weight, int64_t height, int64_t width,
                             int64_t stride, int64_t padding) {
  check_conv("conv2d_backward_input", dy, weight, 0, stride, padding);
  check_gradient("conv2d_backward_input", dy, dy.shape()[0], height, width, weight.shape(), stride, padding);
  Tensor dx = Tensor::empty(dy.device(), {dy.shape()[0], height, width, weight.shape()[1]}, dy.dtype());
  if (dx.numel() > 0)
    CAE_LAUNCH(dy.device(), conv2d_backward_input, dy, weight, OptionalTensor{}, stride, padding, dx);
  return dx;
}

void conv2d_backward_weight(const Tensor& dy, const Tensor& x, const Tensor& dweight,
                            const OptionalTensor& dbias, int64_t stride, int64_t padding, bool accumulate) {
  constexpr auto op = "conv2d_backward_weight";
  check_rank(op, "x", x, 4);
  check_rank(op, "dy", dy, 4);
  check_rank(op, "dweight", dweight, 4);
  check(dweight.shape()[0] == dy.shape()[3] && dweight.shape()[1] == x.shape()[3], op, "dweight ",
        dweight.shape(), " is not for dy ", dy.shape(), " and x ", x.shape());
  check_weight(op, "dweight", dweight);
  check_steps(op, stride, padding);
  check_gradient(op, dy, x.shape()[0], x.shape()[1], x.shape()[2], dweight.shape(), stride, padding);
  check_dtype(op, "dy", dy, x.dtype());
  check_dtype(op, "dweight", dweight, parameter_dtype(x.dtype()));
  if (dbias) check_vector(op, "dbias", *dbias, dy.shape()[3], parameter_dtype(x.dtype()));
  if (x.numel() == 0) {
    if (!accumulate) CAE_LAUNCH(dy.device(), fill_constant, dweight, 0.0);
    if (!accumulate && dbias) CAE_LAUNCH(dy.device(), fill_constant, *dbias, 0.0);
    return;
  }
  CAE_LAUNCH(dy.device(), conv2d_backward_weight, dy, x, stride, padding, dweight, dbias, accumulate);
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
                        int64_t padding) {
  check_conv("conv_transpose2d", x, weight, 0, stride, padding);
  if (bias) check_vector("conv_transpose2d", "bias", *bias, weight.shape()[1], parameter_dtype(x.dtype()));
  const auto side = [&](int64_t n) { return (n - 1) * stride - 2 * padding + weight.shape()[2]; };
  const Shape& s = x.shape();
  check(s[1] > 0 && s[2] > 0 && side(s[1]) > 0 && side(s[2]) > 0, "conv_transpose2d", "x ", s, " and weight ",
        weight.shape(), " leave nothing within padding ", padding);
  Tensor y = Tensor::empty(x.device(), {s[0], side(s[1]), side(s[2]), weight.shape()[1]}, x.dtype());
  if (y.numel() > 0) CAE_LAUNCH(x.device(), conv2d_backward_input, x, weight, bias, stride, padding, y);
  return y;
}

}  // namespace cae::ops
