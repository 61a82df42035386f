#include "ops/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/philox.h"
#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

enum Fill : int64_t { kZeros = 0, kColour = 1 };

// A rectangle cut to a picture of height × width.
struct Rectangle {
  int64_t top, left, bottom, right;
  Rectangle(const int32_t* box, int64_t height, int64_t width)
      : top(std::clamp<int64_t>(box[0], 0, height)),
        left(std::clamp<int64_t>(box[1], 0, width)),
        bottom(std::clamp<int64_t>(int64_t{box[0]} + box[2], top, height)),
        right(std::clamp<int64_t>(int64_t{box[1]} + box[3], left, width)) {}
};

// Standard normal numbers by index, four a draw (two of Box and Muller's pairs).
class Normals {
 public:
  // Those of index first + e.
  Normals(const Philox& draw, uint64_t first) : draw_(draw), first_(first / kDraw) {}
  float operator()(int64_t e) {
    const int64_t block = e / kDraw;
    if (block != block_) fill(block);
    return values_[e % kDraw];
  }

 private:
  static constexpr int64_t kDraw = 4;
  void fill(int64_t block) {
    const auto words = draw_(first_ + static_cast<uint64_t>(block));
    for (int pair = 0; pair < 2; ++pair) {
      const float u = (static_cast<float>(words[2 * pair]) + 0.5f) * 0x1p-32f;
      const float angle = static_cast<float>(words[2 * pair + 1]) * (0x1p-31f * std::numbers::pi_v<float>);
      const float radius = std::sqrt(-2 * std::log(u));
      values_[2 * pair] = radius * std::cos(angle);
      values_[2 * pair + 1] = radius * std::sin(angle);
    }
    block_ = block;
  }

  const Philox& draw_;
  uint64_t first_;
  int64_t block_ = -1;
  float values_[kDraw];
};

}  // namespace

void erase_boxes_forward(const TensorView& images, const TensorView& boxes, const TensorView& ids,
                         int64_t fill, double seed, int64_t stream, int64_t step) {
  const int64_t channels = images.shape[1], height = images.shape[2], width = images.shape[3];
  const int64_t count = boxes.shape[1];
  const Philox draw{static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), static_cast<uint32_t>(step)};
  dispatch_float(images.dtype, "erase_boxes", [&]<typename T>(T) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t b = 0; b < images.shape[0]; ++b) {
      const uint64_t first = static_cast<uint64_t>(static_cast<uint32_t>(ids.data<int32_t>()[b])) << 32;
      T* image = images.data<T>() + b * channels * height * width;
      Normals normals(draw, first);
      const auto value = [&](int64_t e) { return store<T>(static_cast<Acc<T>>(normals(e))); };
      for (int64_t k = 0; k < count; ++k) {
        const Rectangle r(boxes.data<int32_t>() + (b * count + k) * 4, height, width);
        for (int64_t c = 0; c < channels; ++c) {
          const T colour = fill == kColour ? value(k * channels + c) : T(0);
          for (int64_t y = r.top; y < r.bottom; ++y) {
            const int64_t row = (c * height + y) * width;
            if (fill <= kColour) {
              std::fill(image + row + r.left, image + row + r.right, colour);
            } else {
              for (int64_t x = r.left; x < r.right; ++x) image[row + x] = value(row + x);
            }
          }
        }
      }
    }
  });
}

void mix_images_forward(const TensorView& x, const TensorView& partner, const TensorView& weight,
                        const TensorView& boxes, const TensorView& y) {
  const int64_t batch = x.shape[0], channels = x.shape[1], height = x.shape[2], width = x.shape[3];
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t p = partner.data<int32_t>()[b];
    check(p >= 0 && p < batch, "mix_images", "partner ", p, " is outside a batch of ", batch);
  }
  dispatch_float(x.dtype, "mix_images", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t plane = 0; plane < batch * channels; ++plane) {
      const int64_t b = plane / channels;
      const T* own = x.data<T>() + plane * height * width;
      const T* other =
          x.data<T>() + (partner.data<int32_t>()[b] * channels + plane % channels) * height * width;
      T* out = y.data<T>() + plane * height * width;
      const Acc<T> share = weight.data<Acc<T>>()[b];
      const Acc<T> rest = 1 - share;
      if (share == 1) {
        std::copy(own, own + height * width, out);
      } else {
#pragma omp simd
        for (int64_t i = 0; i < height * width; ++i)
          out[i] = store<T>(load(own[i]) * share + load(other[i]) * rest);
      }
      const Rectangle r(boxes.data<int32_t>() + b * 4, height, width);
      for (int64_t row = r.top; row < r.bottom; ++row)
        std::copy(other + row * width + r.left, other + row * width + r.right, out + row * width + r.left);
    }
  });
}

}  // namespace cae::cpu
