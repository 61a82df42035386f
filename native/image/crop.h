#pragma once

#include <array>

#include "image/coefficients.h"
#include "image/picture.h"
#include "image/resample.h"

namespace cae::image {

// torchvision's RandomResizedCrop, as a function of uniform draws handed in: what it draws depends on the
// picture's size, which is known only once its header is read, and randomness lives in JavaScript.
struct RandomCrop {
  static constexpr int kTries = 10;
  double min_scale = 0.08;  // share of the picture's area
  double max_scale = 1.0;
  double min_ratio = 3.0 / 4.0;  // width / height, log-uniform
  double max_ratio = 4.0 / 3.0;
  // One try, its sides cut to the picture's, as linear probing crops: no try is thrown away.
  bool clamped = false;
  // Uniform in [0, 1): area and aspect ratio of each try, then top and left.
  std::array<double, 2 * kTries + 2> draws{};
};

// The rectangle: the first try that fits, or else the largest central crop of an allowed aspect ratio.
Box random_crop(const RandomCrop& rule, Size picture);

// torchvision's Resize(shorter) followed by CenterCrop(size); shorter >= size.
Resize resize_and_centre(Size picture, int shorter, int size, Filter filter);

}  // namespace cae::image
