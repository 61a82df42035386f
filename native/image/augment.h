#pragma once

#include <string_view>
#include <vector>

#include "image/picture.h"

namespace cae::image {

enum class Jitter { brightness, contrast, saturation };

// "brightness", "contrast" or "saturation"; throws Error for any other name.
Jitter jitter_from_name(std::string_view name);

struct JitterStep {
  Jitter kind;
  float factor;  // 1 leaves the picture as it is
};

// Whether a step looks at the whole picture (contrast: its mean), so that a crop must not come before it.
bool needs_whole_picture(const std::vector<JitterStep>& steps);

// Applies the steps in their order, in place, each rounded to 8 bits: the bytes of torchvision's adjust_* on
// a PIL picture, that is of Image.blend with black, with the mean grey, or with the picture's own grey.
void jitter(const Picture& picture, const std::vector<JitterStep>& steps);

// Mirrors left and right, in place.
void flip(const Picture& picture);

}  // namespace cae::image
