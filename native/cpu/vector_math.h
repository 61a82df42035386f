#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "core/dtype.h"

// Elementary functions written so that the compiler turns a loop over them into vector code. Float versions
// are within a few units in the last place; double versions are the library's. They are always inlined: one
// call left in a loop keeps it scalar, ten times slower.
#define CAE_INLINE [[gnu::always_inline]] inline
namespace cae::cpu {

// e^x: 2^n · e^r with |r| ≤ ln 2 / 2, e^r by a polynomial of degree 6.
CAE_INLINE float vexp(float x) {
  constexpr float kMagic = 12582912.f;                // 1.5·2^23: adding it rounds to an integer
  x = x < -87.3f ? -87.3f : (x > 88.7f ? 88.7f : x);  // a NaN passes both comparisons
  const float shifted = x * 1.44269504f + kMagic;
  const float n = shifted - kMagic;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  // In two halves, since 2^128 is no float.
  const auto e = static_cast<int32_t>(n);
  const int32_t half = e / 2;
  const auto power = [](int32_t k) { return std::bit_cast<float>((k + 127) << 23); };
  return p * power(half) * power(e - half);
}
CAE_INLINE double vexp(double x) {
  return std::exp(x);
}

// erf by a rational minimax approximation on [-4, 4], beyond which it is ±1 in float.
CAE_INLINE float verf(float x) {
  const float c = x < -4.f ? -4.f : (x > 4.f ? 4.f : x);
  const float s = c * c;
  float p = -2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s - 2.10102402082508e-06f;
  p = p * s - 5.69250639462346e-05f;
  p = p * s - 7.34990630326855e-04f;
  p = p * s - 2.95459980854025e-03f;
  p = p * s - 1.60960333262415e-02f;
  float q = -1.45660718464996e-05f;
  q = q * s - 2.13374055278905e-04f;
  q = q * s - 1.68282697438203e-03f;
  q = q * s - 7.37332916720468e-03f;
  q = q * s - 1.42647390514189e-02f;
  return c * p / q;
}
CAE_INLINE double verf(double x) {
  return std::erf(x);
}

// Load as the type sums are kept in, and store back.
template <typename T>
CAE_INLINE Acc<T> load(const T& value) {
  return static_cast<Acc<T>>(value);
}
template <typename T>
CAE_INLINE T store(Acc<T> value) {
  return T(value);
}

}  // namespace cae::cpu
