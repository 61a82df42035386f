#include "image/sharpness.h"

#include <algorithm>
#include <cstring>

namespace cae::image {
namespace {

// Pillow's SMOOTH: a 3×3 mean in which the centre counts five times, in single precision.
constexpr float kAround = 1.0f / 13.0f;
constexpr float kCentre = 5.0f / 13.0f;

// Cut, not rounded.
uint8_t cut(float value) {
  value = value < 0.0f ? 0.0f : value;
  value = value > 255.0f ? 255.0f : value;
  return static_cast<uint8_t>(static_cast<int>(value));
}

// One row of bytes 4 … end−1, each with its neighbours a pixel to the left and right. Below comes first, as
// in Pillow, which counts rows upwards.
void sharpen_row(const uint8_t* above, const uint8_t* row, const uint8_t* below, ptrdiff_t end, float factor,
                 uint8_t* out) {
#pragma omp simd
  for (ptrdiff_t i = 4; i < end; ++i) {
    float sum = 0.5f;
    sum += static_cast<float>(below[i - 4]) * kAround + static_cast<float>(below[i]) * kAround +
           static_cast<float>(below[i + 4]) * kAround;
    sum += static_cast<float>(row[i - 4]) * kAround + static_cast<float>(row[i]) * kCentre +
           static_cast<float>(row[i + 4]) * kAround;
    sum += static_cast<float>(above[i - 4]) * kAround + static_cast<float>(above[i]) * kAround +
           static_cast<float>(above[i + 4]) * kAround;
    const int smooth = cut(sum);
    out[i] = cut(static_cast<float>(smooth) + factor * static_cast<float>(row[i] - smooth));
  }
}

}  // namespace

void sharpen(const Picture& in, float factor, const Picture& out) {
  const int height = in.size.height;
  const ptrdiff_t bytes = 4 * static_cast<ptrdiff_t>(in.size.width);
  // The border is not smoothed, nor is a picture that is all border; and with factor 1 nothing is.
  const bool border_only = height < 3 || in.size.width < 3 || factor == 1.0f;
  for (int y = 0; y < height; ++y) {
    const bool whole = border_only || y == 0 || y == height - 1;
    std::memcpy(out.row(y), in.row(y), static_cast<size_t>(whole ? bytes : 4));
    if (whole) continue;
    sharpen_row(in.row(y - 1), in.row(y), in.row(y + 1), bytes - 4, factor, out.row(y));
    std::memcpy(out.row(y) + bytes - 4, in.row(y) + bytes - 4, 4);
  }
}

}  // namespace cae::image
