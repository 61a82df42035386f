#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace cae::image {

struct Size {
  int height = 0;
  int width = 0;
};

// A rectangle of whole pixels.
struct Box {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// Vector loops load whole registers, so they may read (never use) this many bytes past a picture's last
// pixel.
inline constexpr size_t kReadSlack = 64;

// Memory that is kept from picture to picture, and never cleared: a fresh megabyte costs more in page faults
// than resampling it.
class Buffer {
 public:
  uint8_t* reserve(size_t bytes) {
    if (bytes > capacity_) {
      bytes_ = std::make_unique_for_overwrite<uint8_t[]>(bytes);
      capacity_ = bytes;
    }
    return bytes_.get();
  }
  // Gives the memory back when one huge picture had made it grow past `limit` bytes.
  void trim(size_t limit) {
    if (capacity_ <= limit) return;
    bytes_.reset();
    capacity_ = 0;
  }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t capacity_ = 0;
};

// Pixels of four bytes (red, green, blue, unused), rows `stride` bytes apart, owned by a Buffer with
// kReadSlack bytes to spare at its end. Four bytes, not three, so that a vector register holds whole pixels.
struct Picture {
  uint8_t* data = nullptr;
  ptrdiff_t stride = 0;
  Size size;

  uint8_t* row(int y) const { return data + y * stride; }
  Picture crop(const Box& box) const {
    return {row(box.top) + 4 * static_cast<ptrdiff_t>(box.left), stride, {box.height, box.width}};
  }
};

// An uninitialised picture in `memory`.
inline Picture make_picture(Buffer& memory, Size size) {
  const ptrdiff_t stride = 4 * static_cast<ptrdiff_t>(size.width);
  return {memory.reserve(static_cast<size_t>(stride) * size.height + kReadSlack), stride, size};
}

}  // namespace cae::image
