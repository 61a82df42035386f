#include "image/packing.h"

#include <immintrin.h>

#include <cstring>

namespace cae::image {
namespace {

// Four pixels of three bytes to four of four, whose last is 255; and back.
__m128i widen(__m128i rgb) {
  const __m128i places = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
  return _mm_or_si128(_mm_shuffle_epi8(rgb, places), _mm_set1_epi32(static_cast<int>(0xFF000000u)));
}

__m128i narrow(__m128i rgbx) {
  const __m128i places = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  return _mm_shuffle_epi8(rgbx, places);
}

}  // namespace

Picture unpack(const uint8_t* rgb, ptrdiff_t stride, const Box& box, Buffer& memory) {
  const Picture picture = make_picture(memory, {box.height, box.width});
  for (int y = 0; y < box.height; ++y) {
    const uint8_t* from = rgb + (box.top + y) * stride + 3 * static_cast<ptrdiff_t>(box.left);
    uint8_t* to = picture.row(y);
    int x = 0;
    // Sixteen bytes are loaded for twelve, so that the row's last six pixels are left to the plain loop.
    for (; x + 6 <= box.width; x += 4, from += 12, to += 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                       widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
    for (; x < box.width; ++x, from += 3, to += 4) {
      std::memcpy(to, from, 3);
      to[3] = 255;
    }
  }
  return picture;
}

void pack(const Picture& picture, uint8_t* rgb) {
  for (int y = 0; y < picture.size.height; ++y) {
    const uint8_t* from = picture.row(y);
    int x = 0;
    for (; x + 6 <= picture.size.width; x += 4, from += 16, rgb += 12)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(rgb),
                       narrow(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
    for (; x < picture.size.width; ++x, from += 4, rgb += 3) std::memcpy(rgb, from, 3);
  }
}

}  // namespace cae::image
