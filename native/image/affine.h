#pragma once

#include <array>
#include <cstdint>

#include "image/coefficients.h"
#include "image/picture.h"

namespace cae::image {

// Where an output pixel comes from: the point (x, y) of the result is (m0·x + m1·y + m2, m3·x + m4·y + m5) of
// the picture, in pixels from its upper left corner.
using Matrix = std::array<double, 6>;
using Colour = std::array<uint8_t, 3>;

enum class AffineFilter { nearest, bilinear, bicubic };

// "nearest", "bilinear" or "bicubic"; throws Error for any other name.
AffineFilter affine_filter_from_name(std::string_view name);

// The turn by `degrees` counter-clockwise around the centre of a picture of that size, as Image.rotate has
// it.
Matrix rotation(Size size, double degrees);

// Writes `out`, of the same size as `in` and apart from it: the bytes of Pillow's Image.transform with an
// affine matrix, without antialiasing. Pixels that come from outside the picture get the colour `fill`.
void affine(const Picture& in, const Matrix& matrix, AffineFilter filter, const Colour& fill,
            const Picture& out);

}  // namespace cae::image
