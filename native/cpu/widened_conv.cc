#include "cpu/widened_conv.h"

#include <algorithm>

#include "cpu/onednn.h"
#include "cpu/widened.h"
#include "ops/conv.h"

namespace cae::cpu {
namespace {

constexpr int64_t kMostNumbers = 8 << 20;  // of a tensor widened at a time, unless a picture has more

thread_local AlignedRoom<float> x_room, y_room, weight_room;

TensorView pictures(const TensorView& all, int64_t first, int64_t count) {
  const int64_t size = all.numel() / all.shape[0];
  return {all.data<BF16>() + first * size, {count, all.shape[1], all.shape[2], all.shape[3]}, all.dtype};
}

// body(some of x's pictures, the same of y's, whether they are the first), until all have had their turn.
template <typename Body>
void for_some_pictures(const TensorView& x, const TensorView& y, Body&& body) {
  const int64_t batch = x.shape[0];
  const int64_t most =
      std::max<int64_t>(1, kMostNumbers * batch / std::max({x.numel(), y.numel(), int64_t{1}}));
  const int64_t parts = (batch + most - 1) / most;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = batch * part / parts;
    const int64_t count = batch * (part + 1) / parts - first;
    body(pictures(x, first, count), pictures(y, first, count), part == 0);
  }
}

void round_off(const TensorView& wide, const TensorView& to) {
  round_into(wide.data<float>(), to.numel(), to.data<BF16>());
}

}  // namespace

bool conv_is_widened(Dtype dtype) {
  return dtype == Dtype::BF16 && !onednn_has_halves();
}

void widened_conv_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                          int64_t stride, int64_t padding, bool relu, const TensorView& y) {
  const TensorView taps = widened(weight, weight_room);
  for_some_pictures(x, y, [&](const TensorView& from, const TensorView& to, bool) {
    const TensorView wide = wide_room(to, y_room);
    conv2d_forward(widened(from, x_room), taps, bias, stride, padding, relu, wide);
    round_off(wide, to);
  });
}

void widened_conv_backward_input(const TensorView& dy, const TensorView& weight, const TensorView& bias,
                                 int64_t stride, int64_t padding, const TensorView& dx) {
  const TensorView taps = widened(weight, weight_room);
  for_some_pictures(dx, dy, [&](const TensorView& to, const TensorView& from, bool) {
    const TensorView wide = wide_room(to, x_room);
    conv2d_backward_input(widened(from, y_room), taps, bias, stride, padding, wide);
    round_off(wide, to);
  });
}

void widened_conv_backward_weight(const TensorView& dy, const TensorView& x, int64_t stride, int64_t padding,
                                  const TensorView& dweight, const TensorView& dbias, bool accumulate) {
  for_some_pictures(x, dy, [&](const TensorView& some_x, const TensorView& some_dy, bool first) {
    conv2d_backward_weight(widened(some_dy, y_room), widened(some_x, x_room), stride, padding, dweight, dbias,
                           accumulate || !first);
  });
}

}  // namespace cae::cpu
