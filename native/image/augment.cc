#include "image/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/error.h"

namespace cae::image {
namespace {

// Pillow's luma, ITU-R 601-2 in 16 binary places.
int grey_of(const uint8_t* pixel) {
  return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16;
}

// from + factor·(to − from) in single precision, cut (not rounded) to 8 bits. The products come from a table,
// so that no compiler can fuse them with the sum: Pillow rounds both.
class Blend {
 public:
  explicit Blend(float factor) : factor_(factor) {
    for (int difference = -255; difference <= 255; ++difference)
      products_[difference + 255] = factor * static_cast<float>(difference);
  }
  uint8_t operator()(int from, int to) const {
    if (factor_ == 0.0f) return static_cast<uint8_t>(from);
    if (factor_ == 1.0f) return static_cast<uint8_t>(to);
    const float value = static_cast<float>(from) + products_[to - from + 255];
    return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
  }

 private:
  float factor_;
  std::array<float, 511> products_;
};

// Each channel goes through one table.
void map_channels(const Picture& picture, const Blend& blend, int from) {
  std::array<uint8_t, 256> table;
  for (int value = 0; value < 256; ++value) table[value] = blend(from, value);
  for (int y = 0; y < picture.size.height; ++y) {
    uint8_t* pixel = picture.row(y);
    for (int x = 0; x < picture.size.width; ++x, pixel += 4)
      for (int channel = 0; channel < 3; ++channel) pixel[channel] = table[pixel[channel]];
  }
}

int mean_grey(const Picture& picture) {
  int64_t sum = 0;
  for (int y = 0; y < picture.size.height; ++y) {
    const uint8_t* pixel = picture.row(y);
    for (int x = 0; x < picture.size.width; ++x, pixel += 4) sum += grey_of(pixel);
  }
  const double pixels = static_cast<double>(picture.size.height) * picture.size.width;
  return static_cast<int>(std::floor(static_cast<double>(sum) / pixels + 0.5));
}

void saturate(const Picture& picture, const Blend& blend) {
  for (int y = 0; y < picture.size.height; ++y) {
    uint8_t* pixel = picture.row(y);
    for (int x = 0; x < picture.size.width; ++x, pixel += 4) {
      const int grey = grey_of(pixel);
      for (int channel = 0; channel < 3; ++channel) pixel[channel] = blend(grey, pixel[channel]);
    }
  }
}

}  // namespace

Jitter jitter_from_name(std::string_view name) {
  if (name == "brightness") return Jitter::brightness;
  if (name == "contrast") return Jitter::contrast;
  if (name == "saturation") return Jitter::saturation;
  fail("imageJitter", "no jitter '", std::string(name), "'; give brightness, contrast or saturation");
}

bool needs_whole_picture(const std::vector<JitterStep>& steps) {
  return std::any_of(steps.begin(), steps.end(),
                     [](const JitterStep& step) { return step.kind == Jitter::contrast; });
}

void jitter(const Picture& picture, const std::vector<JitterStep>& steps) {
  for (const JitterStep& step : steps) {
    const Blend blend(step.factor);
    switch (step.kind) {
      case Jitter::brightness:
        map_channels(picture, blend, 0);
        break;
      case Jitter::contrast:
        map_channels(picture, blend, mean_grey(picture));
        break;
      case Jitter::saturation:
        saturate(picture, blend);
        break;
    }
  }
}

void flip(const Picture& picture) {
  for (int y = 0; y < picture.size.height; ++y) {
    auto* row = reinterpret_cast<uint32_t*>(picture.row(y));
    std::reverse(row, row + picture.size.width);
  }
}

}  // namespace cae::image
