#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/vector_math.h"

// Runs of numbers brought to the accumulating type and back. Mathematics that does not vectorise inside the
// ops' nested lambdas (there the compiler leaves it scalar, ten times slower) works on such runs, in
// functions of its own.
namespace cae::cpu {

constexpr int64_t kRun = 512;

// The type two dtypes meet in: float where either is a half, else the source's own.
template <typename X, typename Y>
using Between = std::conditional_t<std::is_same_v<X, BF16> || std::is_same_v<X, F16> ||
                                       std::is_same_v<Y, BF16> || std::is_same_v<Y, F16>,
                                   float, X>;

// out = in, in out's type.
template <typename X, typename Y>
[[gnu::noinline]] void convert_run(const X* __restrict in, Y* __restrict out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<Y>(static_cast<Between<X, Y>>(in[i]));
}
// To bf16 by its bits: the compiler does not vectorise a loop that stores the struct.
[[gnu::noinline]] inline void convert_run(const float* __restrict in, BF16* __restrict out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i].bits = BF16::round(in[i]);
}

template <typename A>
[[gnu::noinline]] void add_run(A* __restrict a, const A* __restrict b, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) a[i] += b[i];
}

}  // namespace cae::cpu
