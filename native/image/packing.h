#pragma once

#include "image/picture.h"

namespace cae::image {

// A box of an RGB picture of 3 bytes a pixel, rows `stride` bytes apart, as pixels of four bytes in `memory`.
Picture unpack(const uint8_t* rgb, ptrdiff_t stride, const Box& box, Buffer& memory);

// Writes a picture as 3 bytes a pixel without gaps.
void pack(const Picture& picture, uint8_t* rgb);

}  // namespace cae::image
