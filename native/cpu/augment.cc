#include "ops/augment.h"

#include <algorithm>
#include <array>

#include "core/draws.h"
#include "core/rectangle.h"
#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

enum Fill : int64_t { kZeros = 0, kColour = 1 };

// Standard normal numbers by index, four a draw.
class Normals {
 public:
  // Those of index first + e.
  Normals(const NormalsDraw& draw, uint64_t first) : draw_(draw), first_(first / NormalsDraw::kNumbers) {}
  float operator()(int64_t e) {
    const int64_t block = e / NormalsDraw::kNumbers;
    if (block != block_) {
      values_ = draw_(first_ + static_cast<uint64_t>(block));
      block_ = block;
    }
    return values_[e % NormalsDraw::kNumbers];
  }

 private:
  const NormalsDraw& draw_;
  uint64_t first_;
  int64_t block_ = -1;
  std::array<float, NormalsDraw::kNumbers> values_{};
};

}  // namespace

void erase_boxes_forward(const TensorView& images, const TensorView& boxes, const TensorView& ids,
                         int64_t fill, double seed, int64_t stream, int64_t step) {
  const int64_t channels = images.shape[1], height = images.shape[2], width = images.shape[3];
  const int64_t count = boxes.shape[1];
  const NormalsDraw draw{
      {static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), static_cast<uint32_t>(step)}};
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
