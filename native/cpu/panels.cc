#include "cpu/panels.h"

#include <algorithm>
#include <bit>
#include <utility>

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

// Where word i of a merge comes from: of each run of 2·n words in x and y, the n at `offset` of x's, then of
// y's.
constexpr int merged_from(int n, int offset, int i) {
  const int in_run = i % (2 * n);
  return i - in_run + offset + (in_run < n ? in_run : static_cast<int>(kVector) + in_run - n);
}
template <int N, int Offset, int... I>
inline Words merge(Words x, Words y, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, y, merged_from(N, Offset, I)...);
}
// Exchanges blocks of N words between lines that are N apart; with N = 8, 4, 2, 1 in turn, a square is
// transposed.
template <int N>
inline void exchange(Words v[kVector]) {
  constexpr std::make_integer_sequence<int, kVector> kWords;
#pragma GCC unroll 16
  for (int i = 0; i < kVector; ++i) {
    if ((i & N) != 0) continue;
    const Words x = v[i];
    v[i] = merge<N, 0>(x, v[i + N], kWords);
    v[i + N] = merge<N, N>(x, v[i + N], kWords);
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

// Lines of bf16 whose words straddle addresses, or end in half a word.
void pack_odd_lines(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width, Word* panel) {
  const auto bits = [&](int64_t i, int64_t p) -> uint32_t { return p < k ? from[i * stride + p].bits : 0; };
  for (int64_t p = 0; p < k; p += 2)
    for (int64_t i = 0; i < width; ++i)
      panel[p / 2 * width + i] = i < lines ? bits(i, p) | bits(i, p + 1) << 16 : 0;
}

}  // namespace

void pack_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                Word* panel) {
  const auto [data, dtype, stride, lines_are_rows] = source;
  if (dtype == Dtype::F32) {
    const auto* from = static_cast<const float*>(data);
    if (lines_are_rows)
      pack_lines(reinterpret_cast<const AnyWord*>(from + first * stride), stride, lines, k, width, panel);
    else
      pack_columns(from + first, stride, lines, k, width, panel);
    return;
  }
  const auto* from = static_cast<const BF16*>(data);
  const auto whole_words = [](uint64_t n) { return n % 2 == 0; };
  if (!lines_are_rows)
    pack_columns(from + first, stride, lines, k, width, panel);
  else if (whole_words(k) && whole_words(stride) && reinterpret_cast<uintptr_t>(from) % sizeof(Word) == 0)
    pack_lines(reinterpret_cast<const AnyWord*>(from + first * stride), stride / 2, lines, k / 2, width,
               panel);
  else
    pack_odd_lines(from + first * stride, stride, lines, k, width, panel);
}

void pack_rows(const float* from, int64_t stride, int64_t lines, int64_t words, int64_t width, float* panel) {
  pack_lines(reinterpret_cast<const AnyWord*>(from), stride, lines, words, width,
             reinterpret_cast<AnyWord*>(panel));
}

}  // namespace cae::cpu
