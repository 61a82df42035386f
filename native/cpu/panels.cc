#include "cpu/panels.h"

#include <algorithm>
#include <bit>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace cae::cpu {
namespace {

// Words in memory that holds floats, or pairs of bf16.
using AnyWord [[gnu::may_alias]] = uint32_t;

#ifdef __AVX512F__
using Words [[gnu::vector_size(64)]] = uint32_t;

// A vector's first n words, in memory; the others are zeros, and stay as they are.
__mmask16 first_words(int64_t n) {
  return static_cast<__mmask16>(n >= kVector ? 0xffff : (1U << std::max<int64_t>(n, 0)) - 1);
}
Words load_words(const void* from, __mmask16 lanes) {
  return reinterpret_cast<Words>(_mm512_maskz_loadu_epi32(lanes, from));
}
void store_words(AnyWord* to, __mmask16 lanes, Words words) {
  _mm512_mask_storeu_epi32(to, lanes, reinterpret_cast<__m512i>(words));
}

// Of each run of 2·N words in x and y: the N at `Offset` of x's, then of y's.
template <int N, int Offset>
inline Words merge(Words x, Words y) {
  Words index;
  for (int i = 0; i < kVector; ++i) {
    const int in_run = i % (2 * N);
    index[i] = static_cast<uint32_t>(i - in_run + Offset + (in_run < N ? in_run : kVector + in_run - N));
  }
  return __builtin_shuffle(x, y, index);
}
// Exchanges blocks of N words between lines that are N apart; with N = 8, 4, 2, 1 in turn, a square is
// transposed.
template <int N>
inline void exchange(Words v[kVector]) {
#pragma GCC unroll 16
  for (int i = 0; i < kVector; ++i) {
    if ((i & N) != 0) continue;
    const Words x = v[i];
    v[i] = merge<N, 0>(x, v[i + N]);
    v[i + N] = merge<N, N>(x, v[i + N]);
  }
  if constexpr (N > 1) exchange<N / 2>(v);
}

void pack_lines(const AnyWord* from, int64_t stride, int64_t lines, int64_t words, int64_t width,
                AnyWord* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const int64_t here = std::clamp<int64_t>(lines - i, 0, kVector);
    const __mmask16 stored = first_words(width - i);
    for (int64_t w = 0; w < words; w += kVector) {
      const __mmask16 loaded = first_words(words - w);
      Words v[kVector];
      for (int64_t r = 0; r < kVector; ++r)
        v[r] = r < here ? load_words(from + (i + r) * stride + w, loaded) : Words{};
      exchange<kVector / 2>(v);
      for (int64_t r = 0; r < std::min(kVector, words - w); ++r)
        store_words(panel + (w + r) * width + i, stored, v[r]);
    }
  }
}

// Lines across the rows of memory: a word of f32 comes from one row.
void pack_columns(const float* from, int64_t stride, int64_t lines, int64_t k, int64_t width, Word* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const __mmask16 loaded = first_words(lines - i);
    const __mmask16 stored = first_words(width - i);
    for (int64_t p = 0; p < k; ++p)
      store_words(panel + p * width + i, stored, load_words(from + p * stride + i, loaded));
  }
}

// A word of bf16 comes from two.
void pack_columns(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width, Word* panel) {
  using Halves [[gnu::vector_size(32)]] = uint16_t;
  for (int64_t i = 0; i < width; i += kVector) {
    const __mmask16 loaded = first_words(lines - i);
    const __mmask16 stored = first_words(width - i);
    const auto row = [&](int64_t p) {
      if (p >= k) return Words{};
      const auto halves = reinterpret_cast<Halves>(_mm256_maskz_loadu_epi16(loaded, from + p * stride + i));
      return __builtin_convertvector(halves, Words);
    };
    for (int64_t p = 0; p < k; p += 2)
      store_words(panel + p / 2 * width + i, stored, row(p) | row(p + 1) << 16);
  }
}
#else
void pack_lines(const AnyWord* from, int64_t stride, int64_t lines, int64_t words, int64_t width,
                AnyWord* panel) {
  for (int64_t w = 0; w < words; ++w)
    for (int64_t i = 0; i < width; ++i) panel[w * width + i] = i < lines ? from[i * stride + w] : 0;
}

void pack_columns(const float* from, int64_t stride, int64_t lines, int64_t k, int64_t width, Word* panel) {
  for (int64_t p = 0; p < k; ++p)
    for (int64_t i = 0; i < width; ++i)
      panel[p * width + i] = i < lines ? std::bit_cast<uint32_t>(from[p * stride + i]) : 0;
}

void pack_columns(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width, Word* panel) {
  const auto bits = [&](int64_t p, int64_t i) -> uint32_t { return p < k ? from[p * stride + i].bits : 0; };
  for (int64_t p = 0; p < k; p += 2)
    for (int64_t i = 0; i < width; ++i)
      panel[p / 2 * width + i] = i < lines ? bits(p, i) | bits(p + 1, i) << 16 : 0;
}
#endif

}  // namespace

void pack_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                Word* panel) {
  const auto [matrix, stride, lines_are_rows] = source;
  const bool half = matrix.dtype == Dtype::BF16;
  if (lines_are_rows) {
    const int64_t line = half ? stride / 2 : stride;  // in words
    pack_lines(static_cast<const AnyWord*>(matrix.data) + first * line, line, lines, half ? k / 2 : k, width,
               panel);
  } else if (half) {
    pack_columns(static_cast<const BF16*>(matrix.data) + first, stride, lines, k, width, panel);
  } else {
    pack_columns(static_cast<const float*>(matrix.data) + first, stride, lines, k, width, panel);
  }
}

void pack_rows(const float* from, int64_t stride, int64_t lines, int64_t words, int64_t width, float* panel) {
  pack_lines(reinterpret_cast<const AnyWord*>(from), stride, lines, words, width,
             reinterpret_cast<AnyWord*>(panel));
}

}  // namespace cae::cpu
