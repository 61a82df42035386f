#include "image/affine.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numbers>
#include <string>

#include "core/error.h"

namespace cae::image {
namespace {

// The four bytes of a pixel, in double precision as Pillow computes.
using Four = double __attribute__((vector_size(32)));

Four load(const uint8_t* pixel) {
  int32_t rgbx;
  std::memcpy(&rgbx, pixel, 4);
  return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(rgbx)));
}

// Cut, not rounded, to 8 bits.
void store(Four value, uint8_t* pixel) {
  __m128i whole = _mm256_cvttpd_epi32(value);
  whole = _mm_packus_epi16(_mm_packs_epi32(whole, whole), whole);
  const int32_t rgbx = _mm_cvtsi128_si32(whole);
  std::memcpy(pixel, &rgbx, 4);
}

Four linear(Four a, Four b, double t) {
  return a + (b - a) * t;
}

// The cubic through b and c with the slopes c − a and d − b, which is Keys' with a = −1. The order of the
// sums is Pillow's.
Four cubic(Four a, Four b, Four c, Four d, double t) {
  const Four p2 = c - a;
  const Four p3 = 2.0 * (a - b) + c - d;
  const Four p4 = b - a - c + d;
  return b + t * (p2 + t * (p3 + t * p4));
}

// Neighbours beyond the border are the border's.
struct Neighbours {
  const Picture& picture;
  const uint8_t* row(int y) const { return picture.row(std::clamp(y, 0, picture.size.height - 1)); }
  ptrdiff_t column(int x) const {
    return 4 * static_cast<ptrdiff_t>(std::clamp(x, 0, picture.size.width - 1));
  }
};

// Between neighbours of a row or a column. Translation and shear leave one of the two directions on whole
// pixels, t = 0, where both polynomials are their first pixel exactly: the others need not be looked at.

Four bilinear_at(const Neighbours& in, double x, double y) {
  const int left = static_cast<int>(std::floor(x));
  const int top = static_cast<int>(std::floor(y));
  const double dx = x - left, dy = y - top;
  const ptrdiff_t a = in.column(left), b = in.column(left + 1);
  const auto across = [&](const uint8_t* row) {
    return dx == 0.0 ? load(row + a) : linear(load(row + a), load(row + b), dx);
  };
  const Four upper = across(in.row(top));
  return dy == 0.0 ? upper : linear(upper, across(in.row(top + 1)), dy);
}

Four bicubic_at(const Neighbours& in, double x, double y) {
  const int left = static_cast<int>(std::floor(x));
  const int top = static_cast<int>(std::floor(y));
  const double dx = x - left, dy = y - top;
  const ptrdiff_t a = in.column(left - 1), b = in.column(left), c = in.column(left + 1),
                  d = in.column(left + 2);
  const auto across = [&](int line) {
    const uint8_t* row = in.row(line);
    if (dx == 0.0) return load(row + b);
    return cubic(load(row + a), load(row + b), load(row + c), load(row + d), dx);
  };
  if (dy == 0.0) return across(top);
  return cubic(across(top - 1), across(top), across(top + 1), across(top + 2), dy);
}

void set(uint8_t* pixel, const Colour& colour) {
  std::copy(colour.begin(), colour.end(), pixel);
  pixel[3] = 255;
}

template <typename At>
void interpolate(const Picture& in, const Matrix& m, const Colour& fill, const Picture& out, At&& at) {
  const double width = in.size.width, height = in.size.height;
  const Neighbours neighbours{in};
  for (int row = 0; row < out.size.height; ++row) {
    uint8_t* pixel = out.row(row);
    const double y_out = row + 0.5;
    for (int column = 0; column < out.size.width; ++column, pixel += 4) {
      const double x_out = column + 0.5;
      const double x = m[0] * x_out + m[1] * y_out + m[2];
      const double y = m[3] * x_out + m[4] * y_out + m[5];
      if (x < 0.0 || x >= width || y < 0.0 || y >= height) {
        set(pixel, fill);
      } else {
        store(at(neighbours, x - 0.5, y - 0.5), pixel);
      }
    }
  }
}

void copy_or_fill(const Picture& in, int64_t x, int64_t y, const Colour& fill, uint8_t* pixel) {
  if (x < 0 || x >= in.size.width || y < 0 || y >= in.size.height) return set(pixel, fill);
  std::memcpy(pixel, in.row(static_cast<int>(y)) + 4 * x, 4);
}

// Pillow's two ways to the nearest pixel round differently: without shear or rotation it adds in floating
// point, else in 16 binary places.
void nearest(const Picture& in, const Matrix& m, const Colour& fill, const Picture& out) {
  if (m[1] == 0 && m[3] == 0) {
    const auto cut = [](double v) { return v < 0.0 ? int64_t{-1} : static_cast<int64_t>(v); };
    double y = m[5] + m[4] * 0.5;
    for (int row = 0; row < out.size.height; ++row, y += m[4]) {
      double x = m[2] + m[0] * 0.5;
      for (int column = 0; column < out.size.width; ++column, x += m[0])
        copy_or_fill(in, cut(x), cut(y), fill, out.row(row) + 4 * static_cast<ptrdiff_t>(column));
    }
    return;
  }
  const auto fixed = [](double v) { return static_cast<int64_t>(std::floor(v * 65536.0 + 0.5)); };
  int64_t x_row = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5);
  int64_t y_row = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
  for (int row = 0; row < out.size.height; ++row, x_row += fixed(m[1]), y_row += fixed(m[4])) {
    int64_t x = x_row, y = y_row;
    for (int column = 0; column < out.size.width; ++column, x += fixed(m[0]), y += fixed(m[3]))
      copy_or_fill(in, x >> 16, y >> 16, fill, out.row(row) + 4 * static_cast<ptrdiff_t>(column));
  }
}

// Rounded to 15 decimal places, as Python's round does: through the decimal digits, correctly.
double round15(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.15f", value);
  return std::strtod(digits, nullptr);
}

}  // namespace

AffineFilter affine_filter_from_name(std::string_view name) {
  if (name == "nearest") return AffineFilter::nearest;
  if (name == "bilinear") return AffineFilter::bilinear;
  if (name == "bicubic") return AffineFilter::bicubic;
  fail("imageAffine", "no filter '", std::string(name), "'; give nearest, bilinear or bicubic");
}

Matrix rotation(Size size, double degrees) {
  double turn = std::fmod(degrees, 360.0);
  if (turn < 0) turn += 360.0;
  const double angle = -(turn * (std::numbers::pi / 180.0));
  const double cosine = round15(std::cos(angle)), sine = round15(std::sin(angle));
  const double minus_sine = round15(-std::sin(angle));
  const double x = size.width / 2.0, y = size.height / 2.0;
  return {cosine,     sine,   cosine * -x + sine * -y + 0.0 + x,
          minus_sine, cosine, minus_sine * -x + cosine * -y + 0.0 + y};
}

void affine(const Picture& in, const Matrix& matrix, AffineFilter filter, const Colour& fill,
            const Picture& out) {
  switch (filter) {
    case AffineFilter::nearest:
      return nearest(in, matrix, fill, out);
    case AffineFilter::bilinear:
      return interpolate(in, matrix, fill, out, bilinear_at);
    case AffineFilter::bicubic:
      return interpolate(in, matrix, fill, out, [](const Neighbours& n, double x, double y) {
        const Four v = bicubic_at(n, x, y);
        return Four(_mm256_max_pd(_mm256_min_pd(v, _mm256_set1_pd(255.0)), _mm256_setzero_pd()));
      });
  }
}

}  // namespace cae::image
