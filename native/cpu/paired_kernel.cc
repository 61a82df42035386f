#include "cpu/paired_kernel.h"

#include <array>
#include <utility>

#include "core/error.h"
#include "cpu/paired_panels.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace cae::cpu {

#ifdef __AVX512F__
namespace {

// One row's number, in memory, with sixteen columns. Written as instructions: a number that is repeated by
// its instruction takes no adder's time, one that the compiler loads to a register first does.
inline __m512 plus(__m512 y, const float* x) {
  __m512 sum;
  asm("vaddps %2%{1to16%}, %1, %0" : "=v"(sum) : "v"(y), "m"(*x));
  return sum;
}
inline __m512 minus(__m512 y, const float* x) {
  __m512 difference;
  asm("vsubps %2%{1to16%}, %1, %0" : "=v"(difference) : "v"(y), "m"(*x));
  return difference;
}
inline void add_product(__m512& sum, __m512 y, const float* x) {
  asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(y), "m"(*x));
}

// Three words of R rows and of both vectors of columns.
template <int R, int Sign>
[[gnu::always_inline]] inline void turn(const float* a, const float* b, __m512 (&sums)[R][2]) {
  const auto column = [&](int64_t word, int64_t half) {
    return _mm512_load_ps(b + word * kPanelColumns + half * kVector);
  };
  const __m512 y[kTurn][2] = {
      {column(0, 0), column(0, 1)}, {column(1, 0), column(1, 1)}, {column(2, 0), column(2, 1)}};
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const float* x = a + r;
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      add_product(sums[r][h], y[2][h], x + 2 * R);
      if constexpr (Sign > 0)
        sums[r][h] = _mm512_fmadd_ps(plus(y[1][h], x), plus(y[0][h], x + R), sums[r][h]);
      else
        sums[r][h] = _mm512_fnmadd_ps(minus(y[1][h], x), minus(y[0][h], x + R), sums[r][h]);
    }
  }
}

template <int R>
void kernel(int64_t words, const Word* a_words, const Word* b_words, const float* start, int64_t start_stride,
            float* c, int64_t c_stride) {
  const auto* a = reinterpret_cast<const float*>(a_words);
  const auto* b = reinterpret_cast<const float*>(b_words);
  __m512 sums[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  int64_t left = words;
  for (; left >= kCycle; left -= kCycle) {
    turn<R, 1>(a, b, sums);
    turn<R, -1>(a + kTurn * R, b + kTurn * kPanelColumns, sums);
    a += kCycle * R;
    b += kCycle * kPanelColumns;
  }
  for (; left > 0; --left) {
    const __m512 y[2] = {_mm512_load_ps(b), _mm512_load_ps(b + kVector)};
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
      for (int h = 0; h < 2; ++h) add_product(sums[r][h], y[h], a + r);
    a += R;
    b += kPanelColumns;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) {
      const float* closing = b + h * kVector;
      const __m512 terms = plus(_mm512_load_ps(closing), a + r);
      const __m512 scaled = _mm512_mul_ps(_mm512_sub_ps(sums[r][h], terms), _mm512_set1_ps(a[R + r]));
      const __m512 from = _mm512_loadu_ps(start + r * start_stride + h * kVector);
      _mm512_storeu_ps(c + r * c_stride + h * kVector,
                       _mm512_fmadd_ps(scaled, _mm512_load_ps(closing + kPanelColumns), from));
    }
}

template <size_t... R>
constexpr std::array<PanelKernel, sizeof...(R)> kernels_of(std::index_sequence<R...>) {
  return {kernel<static_cast<int>(R) + 1>...};
}

}  // namespace

bool paired_kernels_apply() {
  static const bool apply = __builtin_cpu_is("amd") != 0 && __builtin_cpu_supports("avx512f") != 0;
  return apply;
}

PanelKernel paired_kernel(int64_t rows) {
  static constexpr auto kKernels = kernels_of(std::make_index_sequence<kPairedRows>{});
  return kKernels[static_cast<size_t>(rows - 1)];
}
#else
bool paired_kernels_apply() {
  return false;
}
PanelKernel paired_kernel(int64_t /*rows*/) {
  fail("gemm", "this build has no paired kernels");
}
#endif

}  // namespace cae::cpu
