#pragma once

#include <string_view>
#include <vector>

#include "image/affine.h"
#include "image/picture.h"

namespace cae::image {

enum class OperationKind {
  mirror,
  auto_contrast,
  equalize,
  invert,
  posterize,
  solarize,
  solarize_add,
  brightness,
  contrast,
  saturation,
  sharpness,
  rotate,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
};

// A change of a picture that keeps its size: Pillow's function of that name, to the byte.
struct Operation {
  OperationKind kind;
  // posterize: bits kept, 0 … 8. solarize: the least value inverted, 0 … 256. solarize_add: what is added, 0
  // … 255. brightness, contrast, saturation, sharpness: the factor, 1 changes nothing. rotate: degrees
  // counter-clockwise. shear: its factor. translate: the share of the picture's side. Others: unused.
  double value = 0;
  // rotate, shear and translate only.
  AffineFilter filter = AffineFilter::bicubic;
  Colour fill{};
};

// "mirror", "autoContrast", … (the kinds in camel case); throws Error for any other name.
OperationKind operation_from_name(std::string_view name);
// Throws Error for a value out of range.
void check_operation(const Operation& operation);

// Applies the operations in their order. `picture` lives in `memory` or elsewhere; the result lives in one of
// `memory`, `other` and where it was.
Picture apply(const Picture& picture, const std::vector<Operation>& operations, Buffer& memory,
              Buffer& other);

}  // namespace cae::image
