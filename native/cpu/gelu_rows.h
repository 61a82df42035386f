#pragma once

#include <algorithm>
#include <numbers>

#include "cpu/runs.h"

// GELU over rows, in runs that stay in the first cache.
namespace cae::cpu {

// z -> z·Φ(z), Φ the normal distribution function.
template <typename A>
[[gnu::noinline]] void gelu_run(const A* __restrict z, A* __restrict out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = z[i] * (A(0.5) * (A(1) + verf(z[i] * A(std::numbers::sqrt2 / 2))));
}

// slope = Φ(z) + z·φ(z), φ the density, and value = z·Φ(z).
template <typename A>
[[gnu::noinline]] void gelu_slope_run(const A* __restrict z, A* __restrict slope, A* __restrict value,
                                      int64_t n) {
  constexpr A kInverseSqrtTwoPi = A(0.39894228040143267794);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const A cdf = A(0.5) * (A(1) + verf(z[i] * A(std::numbers::sqrt2 / 2)));
    slope[i] = cdf + z[i] * kInverseSqrtTwoPi * vexp(A(-0.5) * z[i] * z[i]);
    value[i] = z[i] * cdf;
  }
}

template <typename A>
[[gnu::noinline]] void multiply_run(A* __restrict a, const A* __restrict b, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) a[i] *= b[i];
}

// A row of gelu(x + shift).
template <typename T>
void gelu_row(const T* x, const Acc<T>* shift, T* y, int64_t n) {
  Acc<T> z[kRun], value[kRun];
  for (int64_t at = 0; at < n; at += kRun) {
    const int64_t run = std::min(kRun, n - at);
    convert_run(x + at, z, run);
    if (shift) add_run(z, shift + at, run);
    gelu_run(z, value, run);
    convert_run(value, y + at, run);
  }
}

// A row of dy·gelu'(x + shift), and of gelu(x + shift) where `y` is given.
template <typename T>
void gelu_backward_row(const T* dy, const T* x, const Acc<T>* shift, T* dx, T* y, int64_t n) {
  Acc<T> z[kRun], slope[kRun], value[kRun];
  for (int64_t at = 0; at < n; at += kRun) {
    const int64_t run = std::min(kRun, n - at);
    convert_run(x + at, z, run);
    if (shift) add_run(z, shift + at, run);
    gelu_slope_run(z, slope, value, run);
    convert_run(dy + at, z, run);
    multiply_run(slope, z, run);
    convert_run(slope, dx + at, run);
    if (y) convert_run(value, y + at, run);
  }
}

}  // namespace cae::cpu
