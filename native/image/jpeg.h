#pragma once

#include <cstdint>
#include <memory>

#include "image/picture.h"

namespace cae::image {

bool is_jpeg(const uint8_t* data, size_t bytes);

// Decodes one JPEG file in memory to the pixels Pillow gives for it (accurate integer IDCT, fancy upsampling,
// converted to RGB; EXIF orientation ignored). Everything throws Error with libjpeg's own words for a file
// that cannot be decoded, and for one that ends before its picture does.
class JpegReader {
 public:
  // Reads the header only. `data` must stay until the reader goes.
  JpegReader(const uint8_t* data, size_t bytes);
  ~JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  Size size() const;
  // Decodes the pixels of `box`, and as few others as the format allows; once a reader. They equal those of a
  // full decode. The picture lives in `memory`.
  Picture decode(const Box& box, Buffer& memory);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cae::image
