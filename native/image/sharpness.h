#pragma once

#include "image/picture.h"

namespace cae::image {

// Image.blend of a smoothed copy of `in` and of `in` itself: factor 0 is smooth, 1 the picture, 2 sharper.
// The bytes of Pillow's ImageEnhance.Sharpness. `out` is of the same size as `in`, and apart from it.
void sharpen(const Picture& in, float factor, const Picture& out);

}  // namespace cae::image
