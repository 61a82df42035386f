#pragma once

#include <algorithm>
#include <cstdint>

#include "core/host_device.h"

namespace cae {

// A box (top, left, height, width in pixels) cut to a picture of height × width.
struct Rectangle {
  int64_t top, left, bottom, right;
  CAE_HOST_DEVICE Rectangle(const int32_t* box, int64_t height, int64_t width)
      : top(std::clamp<int64_t>(box[0], 0, height)),
        left(std::clamp<int64_t>(box[1], 0, width)),
        bottom(std::clamp<int64_t>(int64_t{box[0]} + box[2], top, height)),
        right(std::clamp<int64_t>(int64_t{box[1]} + box[3], left, width)) {}
  CAE_HOST_DEVICE bool has_row(int64_t y) const { return y >= top && y < bottom; }
  CAE_HOST_DEVICE bool has_column(int64_t x) const { return x >= left && x < right; }
};

}  // namespace cae
