#include "image/crop.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.h"

namespace cae::image {
namespace {

// Python's round(): halves go to the even neighbour.
int round_half_even(double value) {
  return static_cast<int>(std::nearbyint(value));
}

// Uniform over 0 … most, both included.
int integer_up_to(int most, double draw) {
  return std::min(most, static_cast<int>(draw * (most + 1.0)));
}

}  // namespace

Box random_crop(const RandomCrop& rule, Size picture) {
  const double area = static_cast<double>(picture.height) * picture.width;
  const double low = std::log(rule.min_ratio);
  const double high = std::log(rule.max_ratio);
  for (int i = 0; i < RandomCrop::kTries; ++i) {
    const double wanted = area * (rule.min_scale + (rule.max_scale - rule.min_scale) * rule.draws[2 * i]);
    const double ratio = std::exp(low + (high - low) * rule.draws[2 * i + 1]);
    int width = round_half_even(std::sqrt(wanted * ratio));
    int height = round_half_even(std::sqrt(wanted / ratio));
    if (rule.clamped) {
      width = std::clamp(width, 1, picture.width);
      height = std::clamp(height, 1, picture.height);
    }
    if (width < 1 || height < 1 || width > picture.width || height > picture.height) continue;
    const double* place = &rule.draws[2 * RandomCrop::kTries];
    return {integer_up_to(picture.height - height, place[0]), integer_up_to(picture.width - width, place[1]),
            height, width};
  }
  Size crop = picture;
  const double ratio = static_cast<double>(picture.width) / picture.height;
  if (ratio < rule.min_ratio) crop.height = round_half_even(picture.width / rule.min_ratio);
  if (ratio > rule.max_ratio) crop.width = round_half_even(picture.height * rule.max_ratio);
  crop.height = std::clamp(crop.height, 1, picture.height);
  crop.width = std::clamp(crop.width, 1, picture.width);
  return {(picture.height - crop.height) / 2, (picture.width - crop.width) / 2, crop.height, crop.width};
}

Resize resize_and_centre(Size picture, int shorter, int size, Filter filter) {
  check(shorter >= size, "imageResize", "a shorter side of ", shorter, " is less than the crop of ", size);
  const bool upright = picture.height >= picture.width;
  const double longer_side = upright ? picture.height : picture.width;
  const double shorter_side = upright ? picture.width : picture.height;
  const int longer = static_cast<int>(shorter * longer_side / shorter_side);
  const Size full = upright ? Size{longer, shorter} : Size{shorter, longer};
  return {
      full,
      {round_half_even((full.height - size) / 2.0), round_half_even((full.width - size) / 2.0), size, size},
      filter};
}

}  // namespace cae::image
