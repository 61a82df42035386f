#include "image/resample.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace cae::image {
namespace {

constexpr int kHalf = 1 << (kWeightBits - 1);

uint8_t clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// Rows of the first pass: 3 bytes a pixel, rows a multiple of 64 bytes apart, room for a 4-byte store at the
// end.
struct Rows {
  uint8_t* data;
  ptrdiff_t stride;
  uint8_t* row(int y) const { return data + y * stride; }
};

void across_plain(const Picture& in, const Coefficients& c, int left, int width, int y, uint8_t* out) {
  const uint8_t* row = in.row(y);
  for (int x = 0; x < width; ++x, out += 3) {
    const int i = left + x;
    const uint8_t* pixel = row + 4 * static_cast<ptrdiff_t>(c.first[i]);
    const int32_t* weight = &c.weight[static_cast<size_t>(i) * c.taps];
    int32_t red = kHalf, green = kHalf, blue = kHalf;
    for (int t = 0; t < c.count[i]; ++t, pixel += 4) {
      red += pixel[0] * weight[t];
      green += pixel[1] * weight[t];
      blue += pixel[2] * weight[t];
    }
    out[0] = clip(red);
    out[1] = clip(green);
    out[2] = clip(blue);
  }
}

// One output row of `bytes` bytes from rows first … first+count−1.
void down_plain(const Rows& rows, int first, int count, const int32_t* weight, ptrdiff_t bytes,
                uint8_t* out) {
  for (ptrdiff_t b = 0; b < bytes; ++b) {
    int32_t sum = kHalf;
    for (int t = 0; t < count; ++t) sum += rows.row(first + t)[b] * weight[t];
    out[b] = clip(sum);
  }
}

#if defined(__AVX2__)

// kRows rows at once, so that weights are loaded and spread once for all of them.
template <int kRows>
void across_avx2(const Picture& in, const Coefficients& c, int left, int width, int y, const Rows& out,
                 int to) {
  // Of 4 pixels, the first two go to the lower half as 16-bit pairs (r0 r1 g0 g1 b0 b1 - -), the others to
  // the upper: a multiply-add of pairs then sums two taps a channel.
  const __m256i pairs = _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1, 8, -1, 12,
                                         -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
  const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const uint8_t* base = in.row(y);
  for (int x = 0; x < width; ++x) {
    const int i = left + x;
    const uint8_t* pixel = base + 4 * static_cast<ptrdiff_t>(c.first[i]);
    const int16_t* low = &c.low[static_cast<size_t>(i) * c.taps];
    const int16_t* high = &c.high[static_cast<size_t>(i) * c.taps];
    __m256i low_sum[kRows], high_sum[kRows];
    for (int r = 0; r < kRows; ++r) low_sum[r] = high_sum[r] = _mm256_setzero_si256();
    for (int t = 0; t < c.count[i]; t += 4) {
      const __m256i low_weight = _mm256_permutevar8x32_epi32(
          _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(low + t))), spread);
      const __m256i high_weight = _mm256_permutevar8x32_epi32(
          _mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(high + t))), spread);
      for (int r = 0; r < kRows; ++r) {
        const auto* four = reinterpret_cast<const __m128i*>(pixel + 4 * t + r * in.stride);
        const __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(four)), pairs);
        low_sum[r] = _mm256_add_epi32(low_sum[r], _mm256_madd_epi16(values, low_weight));
        high_sum[r] = _mm256_add_epi32(high_sum[r], _mm256_madd_epi16(values, high_weight));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      const __m256i both = _mm256_add_epi32(low_sum[r], _mm256_slli_epi32(high_sum[r], kLowBits));
      __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
      sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(kHalf)), kWeightBits);
      sum = _mm_packs_epi32(sum, sum);
      const int rgbx = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
      std::memcpy(out.row(to + r) + 3 * static_cast<ptrdiff_t>(x), &rgbx, 4);
    }
  }
}

// 32 bytes of one output row.
__m256i down_32(const Rows& rows, int first, int count, const int16_t* low, const int16_t* high,
                ptrdiff_t at) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low_sum[4], high_sum[4];
  for (int q = 0; q < 4; ++q) low_sum[q] = high_sum[q] = zero;
  for (int t = 0; t < count; t += 2) {
    int low_pair, high_pair;
    std::memcpy(&low_pair, low + t, 4);
    std::memcpy(&high_pair, high + t, 4);
    const __m256i low_weight = _mm256_set1_epi32(low_pair);
    const __m256i high_weight = _mm256_set1_epi32(high_pair);
    const uint8_t* upper = rows.row(first + t) + at;
    // The weight beyond an odd count is zero: any row will do.
    const uint8_t* lower = t + 1 < count ? upper + rows.stride : upper;
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(upper));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lower));
    const __m256i front = _mm256_unpacklo_epi8(a, b);
    const __m256i back = _mm256_unpackhi_epi8(a, b);
    const __m256i values[4] = {_mm256_unpacklo_epi8(front, zero), _mm256_unpackhi_epi8(front, zero),
                               _mm256_unpacklo_epi8(back, zero), _mm256_unpackhi_epi8(back, zero)};
    for (int q = 0; q < 4; ++q) {
      low_sum[q] = _mm256_add_epi32(low_sum[q], _mm256_madd_epi16(values[q], low_weight));
      high_sum[q] = _mm256_add_epi32(high_sum[q], _mm256_madd_epi16(values[q], high_weight));
    }
  }
  for (int q = 0; q < 4; ++q) {
    const __m256i sum = _mm256_add_epi32(low_sum[q], _mm256_slli_epi32(high_sum[q], kLowBits));
    low_sum[q] = _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kHalf)), kWeightBits);
  }
  return _mm256_packus_epi16(_mm256_packs_epi32(low_sum[0], low_sum[1]),
                             _mm256_packs_epi32(low_sum[2], low_sum[3]));
}

void down_avx2(const Rows& rows, const Coefficients& c, int i, int first, ptrdiff_t bytes, uint8_t* out) {
  const int16_t* low = &c.low[static_cast<size_t>(i) * c.taps];
  const int16_t* high = &c.high[static_cast<size_t>(i) * c.taps];
  ptrdiff_t at = 0;
  for (; at + 32 <= bytes; at += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at),
                        down_32(rows, first, c.count[i], low, high, at));
  if (at < bytes) {
    // What follows this row may belong to another picture that another thread writes.
    alignas(32) uint8_t tail[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(tail), down_32(rows, first, c.count[i], low, high, at));
    std::memcpy(out + at, tail, bytes - at);
  }
}

#endif

void across(const Picture& in, const Coefficients& c, int left, int width, int from, int to,
            const Rows& out) {
  int y = from;
#if defined(__AVX2__)
  if (c.split) {
    for (; y + 4 <= to; y += 4) across_avx2<4>(in, c, left, width, y, out, y - from);
    for (; y < to; ++y) across_avx2<1>(in, c, left, width, y, out, y - from);
  }
#endif
  for (; y < to; ++y) across_plain(in, c, left, width, y, out.row(y - from));
}

void down(const Rows& rows, const Coefficients& c, int i, int from, ptrdiff_t bytes, uint8_t* out) {
#if defined(__AVX2__)
  if (c.split) return down_avx2(rows, c, i, c.first[i] - from, bytes, out);
#endif
  down_plain(rows, c.first[i] - from, c.count[i], &c.weight[static_cast<size_t>(i) * c.taps], bytes, out);
}

}  // namespace

void resample(const Picture& picture, const Resize& resize, uint8_t* out, Buffer& rows) {
  const Box& window = resize.window;
  check(picture.size.height > 0 && picture.size.width > 0, "imageResample", "the picture is empty");
  check(window.height > 0 && window.width > 0 && window.top >= 0 && window.left >= 0 &&
            window.top + window.height <= resize.full.height &&
            window.left + window.width <= resize.full.width,
        "imageResample", "a window of ", window.height, "x", window.width, " at ", window.top, ",",
        window.left, " does not lie in ", resize.full.height, "x", resize.full.width);
  // Of the window alone, and counted from its corner.
  const Span across_span{window.left, window.width};
  const Span down_span{window.top, window.height};
  const auto columns = coefficients(picture.size.width, resize.full.width, resize.filter, across_span);
  const auto lines = coefficients(picture.size.height, resize.full.height, resize.filter, down_span);

  const int last = window.height - 1;
  const int from = lines->first[0];
  const int to = lines->first[last] + lines->count[last];
  const ptrdiff_t bytes = 3 * static_cast<ptrdiff_t>(window.width);
  const ptrdiff_t stride = (bytes + 1 + 63) / 64 * 64;
  const Rows between{rows.reserve(static_cast<size_t>(stride) * (to - from) + kReadSlack), stride};
  across(picture, *columns, 0, window.width, from, to, between);
  for (int y = 0; y < window.height; ++y) down(between, *lines, y, from, bytes, out + y * bytes);
}

}  // namespace cae::image
