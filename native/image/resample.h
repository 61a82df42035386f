#pragma once

#include "image/coefficients.h"
#include "image/picture.h"

namespace cae::image {

// Resize a picture to `full`, and keep `window` of the result. A window smaller than the whole is a crop
// after resizing that computes only what it keeps.
struct Resize {
  Size full;
  Box window;
  Filter filter = Filter::bicubic;
};

inline Resize resize_to(int size, Filter filter) {
  return {{size, size}, {0, 0, size, size}, filter};
}

// Writes window.height × window.width pixels of 3 bytes, without gaps, to `out`: the same bytes as Pillow's
// Image.resize (one pass across, rounded to 8 bits, then one pass down). Pixels outside `picture` are not
// seen. `rows` holds the result of the first pass.
void resample(const Picture& picture, const Resize& resize, uint8_t* out, Buffer& rows);

}  // namespace cae::image
