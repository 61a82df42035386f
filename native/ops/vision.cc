#include "ops/vision.h"

#include "ops/checks.h"

namespace cae::ops {

Tensor relu(const Tensor& x) {
  Tensor y = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), relu_forward, x, y);
  return y;
}

Tensor relu_backward(const Tensor& dy, const Tensor& y) {
  check_shape("relu_backward", "dy", dy, y.shape());
  check_dtype("relu_backward", "dy", dy, y.dtype());
  Tensor dx = Tensor::empty_like(y);
  CAE_LAUNCH(y.device(), relu_backward, dy, y, dx);
  return dx;
}

Tensor sigmoid(const Tensor& x) {
  Tensor y = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), sigmoid_forward, x, y);
  return y;
}

Tensor sigmoid_backward(const Tensor& dy, const Tensor& y) {
  check_shape("sigmoid_backward", "dy", dy, y.shape());
  check_dtype("sigmoid_backward", "dy", dy, y.dtype());
  Tensor dx = Tensor::empty_like(y);
  CAE_LAUNCH(y.device(), sigmoid_backward, dy, y, dx);
  return dx;
}

Tensor max_pool2(const Tensor& x) {
  check_rank("max_pool2", "x", x, 4);
  const Shape& s = x.shape();
  check(s[1] % 2 == 0 && s[2] % 2 == 0, "max_pool2", "x ", s, " has an odd height or width");
  Tensor y = Tensor::empty(x.device(), {s[0], s[1] / 2, s[2] / 2, s[3]}, x.dtype());
  CAE_LAUNCH(x.device(), max_pool2_forward, x, y);
  return y;
}

Tensor max_pool2_backward(const Tensor& dy, const Tensor& x) {
  check_rank("max_pool2_backward", "x", x, 4);
  const Shape& s = x.shape();
  check(s[1] % 2 == 0 && s[2] % 2 == 0, "max_pool2_backward", "x ", s, " has an odd height or width");
  check_shape("max_pool2_backward", "dy", dy, {s[0], s[1] / 2, s[2] / 2, s[3]});
  check_dtype("max_pool2_backward", "dy", dy, x.dtype());
  Tensor dx = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), max_pool2_backward, dy, x, dx);
  return dx;
}

Tensor upsample2(const Tensor& x) {
  check_rank("upsample2", "x", x, 4);
  const Shape& s = x.shape();
  Tensor y = Tensor::empty(x.device(), {s[0], s[1] * 2, s[2] * 2, s[3]}, x.dtype());
  CAE_LAUNCH(x.device(), upsample2_forward, x, y);
  return y;
}

Tensor upsample2_backward(const Tensor& dy) {
  check_rank("upsample2_backward", "dy", dy, 4);
  const Shape& s = dy.shape();
  check(s[1] % 2 == 0 && s[2] % 2 == 0, "upsample2_backward", "dy ", s, " has an odd height or width");
  Tensor dx = Tensor::empty(dy.device(), {s[0], s[1] / 2, s[2] / 2, s[3]}, dy.dtype());
  CAE_LAUNCH(dy.device(), upsample2_backward, dy, dx);
  return dx;
}

Tensor argmax(const Tensor& x) {
  check(x.shape().rank() >= 1 && x.shape()[-1] > 0, "argmax", "x ", x.shape(), " has nothing to choose from");
  const auto extents = x.shape().extents();
  Tensor y = Tensor::empty(x.device(), Shape(extents.first(extents.size() - 1)), Dtype::I32);
  CAE_LAUNCH(x.device(), argmax_forward, x, y);
  return y;
}

Tensor gumbel_softmax(const Tensor& logits, const OptionalTensor& noise, double temperature, double seed,
                      int64_t stream, int64_t step) {
  check_rows("gumbel_softmax", "logits", logits);
  check(temperature > 0, "gumbel_softmax", "temperature ", temperature, " is not over 0");
  if (noise) {
    check_shape("gumbel_softmax", "noise", *noise, logits.shape());
    check_dtype("gumbel_softmax", "noise", *noise, parameter_dtype(logits.dtype()));
  }
  Tensor y = Tensor::empty_like(logits);
  CAE_LAUNCH(logits.device(), gumbel_softmax_forward, logits, noise, temperature, seed, stream, step, y);
  return y;
}

Tensor gumbel_softmax_backward(const Tensor& dy, const Tensor& y, double temperature) {
  check_rows("gumbel_softmax_backward", "y", y);
  check_shape("gumbel_softmax_backward", "dy", dy, y.shape());
  check_dtype("gumbel_softmax_backward", "dy", dy, y.dtype());
  Tensor dlogits = Tensor::empty_like(y);
  CAE_LAUNCH(y.device(), gumbel_softmax_backward, dy, y, temperature, dlogits);
  return dlogits;
}

}  // namespace cae::ops
