#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace cae::image {

enum class Filter { box, bilinear, hamming, bicubic, lanczos };

// "box", "bilinear", "hamming", "bicubic" or "lanczos"; throws Error for any other name.
Filter filter_from_name(std::string_view name);

// How many binary places the fixed-point weights have: 8 bits of the result and 2 for overshoot are left
// of 32.
inline constexpr int kWeightBits = 32 - 8 - 2;
// A weight w is kept as high·2^12 + low with −2048 <= low < 2048, two 16-bit halves, because vector units
// multiply and add 16-bit pairs at twice the speed of 32-bit products. The sum is the same to the last bit.
inline constexpr int kLowBits = 12;

// A part of an axis: pixels from … from+count−1.
struct Span {
  int from = 0;
  int count = 0;
};

// The weights of one axis, for a span of its output: pixel i of the span is Σ_t weight(i,t) · input[first(i)
// + t], divided by 2^kWeightBits.
struct Coefficients {
  int taps = 0;       // weights kept for each output pixel, a multiple of 4; unused ones are zero
  bool split = true;  // false when so many taps would overflow the sums of the halves
  std::vector<int32_t> first;
  std::vector<int32_t> count;   // weights in use, at least 1
  std::vector<int32_t> weight;  // [output][taps]
  std::vector<int16_t> low;     // [output][taps]
  std::vector<int16_t> high;    // [output][taps]

  size_t bytes() const;
};

// Weights that resize `input` pixels to `output` as Pillow does (antialiased: the filter widens by the
// reduction), for the pixels of `span` alone: the output of a picture of 1 × 65000 pixels, its shorter side
// made 256, has millions, of which a crop keeps few. Tables are shared and kept while memory allows: crops of
// a data set repeat their sizes, and lanczos weights cost more to compute than to apply. Thread-safe.
std::shared_ptr<const Coefficients> coefficients(int input, int output, Filter filter, Span span);

}  // namespace cae::image
