#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/vector_math.h"

// Runs of numbers brought to the accumulating type and back. Mathematics that does not vectorise inside the
// ops' nested lambdas (there the compiler leaves it scalar, ten times slower) works on such runs, in
// functions of its own.
namespace cae::cpu {

constexpr int64_t kRun = 512;

// out = number + shift, in the accumulating type; no shift is zero.
template <typename T>
[[gnu::noinline]] void widen_run(const T* __restrict in, const Acc<T>* __restrict shift,
                                 Acc<T>* __restrict out, int64_t n) {
  if (shift == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = load(in[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = load(in[i]) + shift[i];
  }
}

template <typename T>
[[gnu::noinline]] void narrow_run(const Acc<T>* __restrict in, T* __restrict out, int64_t n) {
  if constexpr (std::is_same_v<T, BF16>) {
    // Its bits, one by one: the compiler does not vectorise loops over the struct.
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i].bits = BF16::round(in[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = store<T>(in[i]);
  }
}

}  // namespace cae::cpu
