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

inline __m512 column(const float* b, int64_t word, int64_t half) {
  return _mm512_load_ps(b + word * kPanelColumns + half * kVector);
}

// One word of R rows and of both vectors of columns.
template <int R, bool Blocks>
[[gnu::always_inline]] inline void single(const float* a, const float* b, __m512 (&sums)[R][2]) {
  const __m512 y[2] = {column(b, 0, 0), column(b, 0, 1)};
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) add_product(sums[r][h], y[h], a + r * PanelSteps<R, Blocks>::kRow);
}

// A pair and a single.
template <int R, bool Blocks, int Sign>
[[gnu::always_inline]] inline void turn(const float* a, const float* b, __m512 (&sums)[R][2]) {
  constexpr int64_t kWord = PanelSteps<R, Blocks>::kWord;
  const __m512 y[kTurn][2] = {{column(b, 0, 0), column(b, 0, 1)},
                              {column(b, 1, 0), column(b, 1, 1)},
                              {column(b, 2, 0), column(b, 2, 1)}};
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const float* x = a + r * PanelSteps<R, Blocks>::kRow;
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      add_product(sums[r][h], y[2][h], x + 2 * kWord);
      if constexpr (Sign > 0)
        sums[r][h] = _mm512_fmadd_ps(plus(y[1][h], x), plus(y[0][h], x + kWord), sums[r][h]);
      else
        sums[r][h] = _mm512_fnmadd_ps(minus(y[1][h], x), minus(y[0][h], x + kWord), sums[r][h]);
    }
  }
}

// A block of words.
template <int R, int Sign>
[[gnu::always_inline]] inline void block(const float* a, const float* b, __m512 (&sums)[R][2]) {
  turn<R, true, Sign>(a, b, sums);
  turn<R, true, -Sign>(a + kTurn, b + kTurn * kPanelColumns, sums);
  turn<R, true, Sign>(a + 2 * kTurn, b + 2 * kTurn * kPanelColumns, sums);
  turn<R, true, -Sign>(a + 3 * kTurn, b + 3 * kTurn * kPanelColumns, sums);
  turn<R, true, Sign>(a + 4 * kTurn, b + 4 * kTurn * kPanelColumns, sums);
  single<R, true>(a + 5 * kTurn, b + 5 * kTurn * kPanelColumns, sums);
}

// The sums of all words; leaves a and b at the words that close them.
template <int R>
[[gnu::always_inline]] inline void add_lines(int64_t words, const float*& a, const float*& b,
                                             __m512 (&sums)[R][2]) {
  int64_t left = words;
  for (; left >= kCycle; left -= kCycle) {
    turn<R, false, 1>(a, b, sums);
    turn<R, false, -1>(a + kTurn * R, b + kTurn * kPanelColumns, sums);
    a += kCycle * R;
    b += kCycle * kPanelColumns;
  }
  for (; left > 0; --left) {
    single<R, false>(a, b, sums);
    a += R;
    b += kPanelColumns;
  }
}
template <int R>
[[gnu::always_inline]] inline void add_blocks(int64_t words, const float*& a, const float*& b,
                                              __m512 (&sums)[R][2]) {
  for (int64_t left = words; left > 0; left -= 2 * kBlockWords) {
    block<R, 1>(a, b, sums);
    block<R, -1>(a + R * kBlockWords, b + kPanelColumns * kBlockWords, sums);
    a += 2 * kBlockWords * R;
    b += 2 * kBlockWords * kPanelColumns;
  }
}

template <int R, bool Blocks>
void kernel(int64_t words, const Word* a_words, const Word* b_words, const float* start, int64_t start_stride,
            float* c, int64_t c_stride) {
  const auto* a = reinterpret_cast<const float*>(a_words);
  const auto* b = reinterpret_cast<const float*>(b_words);
  __m512 sums[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  if constexpr (Blocks)
    add_blocks(words, a, b, sums);
  else
    add_lines(words, a, b, sums);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) {
      const __m512 terms = plus(column(b, 0, h), a + r);
      const __m512 scaled = _mm512_mul_ps(_mm512_sub_ps(sums[r][h], terms), _mm512_set1_ps(a[R + r]));
      const __m512 from = _mm512_loadu_ps(start + r * start_stride + h * kVector);
      _mm512_storeu_ps(c + r * c_stride + h * kVector, _mm512_fmadd_ps(scaled, column(b, 1, h), from));
    }
}

template <bool Blocks, size_t... R>
constexpr std::array<PanelKernel, sizeof...(R)> kernels_of(std::index_sequence<R...>) {
  return {kernel<static_cast<int>(R) + 1, Blocks>...};
}

}  // namespace

bool paired_kernels_apply() {
  static const bool apply = __builtin_cpu_is("amd") != 0 && __builtin_cpu_supports("avx512f") != 0;
  return apply;
}

PanelKernel paired_kernel(int64_t rows) {
  static constexpr auto kKernels = kernels_of<false>(std::make_index_sequence<kPairedRows>{});
  return kKernels[static_cast<size_t>(rows - 1)];
}

PanelKernel paired_block_kernel(int64_t rows) {
  static constexpr auto kKernels = kernels_of<true>(std::make_index_sequence<kPairedRows>{});
  return kKernels[static_cast<size_t>(rows - 1)];
}
#else
bool paired_kernels_apply() {
  return false;
}
PanelKernel paired_kernel(int64_t /*rows*/) {
  fail("gemm", "this build has no paired kernels");
}
PanelKernel paired_block_kernel(int64_t /*rows*/) {
  fail("gemm", "this build has no paired kernels");
}
#endif

}  // namespace cae::cpu
