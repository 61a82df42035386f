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
using Floats [[gnu::vector_size(64)]] = float;

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
// One after the other, up to `last`: those before it may write over their successor's place, which is faster
// than stores of some lanes.
void store_run(AnyWord* to, int64_t width, int64_t at, int64_t last, __mmask16 lanes, Words words) {
  if (at < last && width <= kVector)
    _mm512_storeu_si512(to + at * width, reinterpret_cast<__m512i>(words));
  else
    store_words(to + at * width, lanes, words);
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

inline Words scaled(Words floats, Floats by) {
  return reinterpret_cast<Words>(reinterpret_cast<Floats>(floats) * by);
}

void pack_lines(const AnyWord* from, int64_t stride, int64_t lines, int64_t words, int64_t width,
                const float* scales, AnyWord* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const int64_t here = std::clamp<int64_t>(lines - i, 0, kVector);
    const __mmask16 stored = first_words(width - i);
    for (int64_t w = 0; w < words; w += kVector) {
      const __mmask16 loaded = first_words(words - w);
      Words v[kVector];
      for (int64_t r = 0; r < kVector; ++r)
        v[r] = r < here ? load_words(from + (i + r) * stride + w, loaded) : Words{};
      if (scales != nullptr)
        for (int64_t r = 0; r < here; ++r) v[r] = scaled(v[r], scales[i + r] - Floats{});
      exchange<kVector / 2>(v);
      const int64_t last = std::min(kVector, words - w) - 1;
      for (int64_t r = 0; r <= last; ++r) store_run(panel + w * width + i, width, r, last, stored, v[r]);
    }
  }
}

// Lines across the rows of memory: a word of f32 comes from one row.
void pack_columns(const float* from, int64_t stride, int64_t lines, int64_t k, int64_t width,
                  const float* scales, Word* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const __mmask16 loaded = first_words(lines - i);
    const __mmask16 stored = first_words(width - i);
    const auto by =
        scales == nullptr ? 1.F - Floats{} : reinterpret_cast<Floats>(load_words(scales + i, loaded));
    for (int64_t p = 0; p < k; ++p)
      store_run(panel + i, width, p, k - 1, stored, scaled(load_words(from + p * stride + i, loaded), by));
  }
}

// A word of bf16 comes from two.
void pack_columns(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width,
                  const float* /*scales*/, Word* panel) {
  using Halves [[gnu::vector_size(32)]] = uint16_t;
  for (int64_t i = 0; i < width; i += kVector) {
    const __mmask16 loaded = first_words(lines - i);
    const __mmask16 stored = first_words(width - i);
    const auto row = [&](int64_t p) {
      if (p >= k) return Words{};
      const auto halves = reinterpret_cast<Halves>(_mm256_maskz_loadu_epi16(loaded, from + p * stride + i));
      return __builtin_convertvector(halves, Words);
    };
    const int64_t last = (k - 1) / 2;
    for (int64_t w = 0; w <= last; ++w)
      store_run(panel + i, width, w, last, stored, row(2 * w) | row(2 * w + 1) << 16);
  }
}
#else
void pack_lines(const AnyWord* from, int64_t stride, int64_t lines, int64_t words, int64_t width,
                const float* scales, AnyWord* panel) {
  check(scales == nullptr, "gemm", "this build scales no panels");
  for (int64_t w = 0; w < words; ++w)
    for (int64_t i = 0; i < width; ++i) panel[w * width + i] = i < lines ? from[i * stride + w] : 0;
}

void pack_columns(const float* from, int64_t stride, int64_t lines, int64_t k, int64_t width,
                  const float* scales, Word* panel) {
  check(scales == nullptr, "gemm", "this build scales no panels");
  for (int64_t p = 0; p < k; ++p)
    for (int64_t i = 0; i < width; ++i)
      panel[p * width + i] = i < lines ? std::bit_cast<uint32_t>(from[p * stride + i]) : 0;
}

void pack_columns(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width,
                  const float* /*scales*/, Word* panel) {
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

// One panel of lines that are rows of memory.
void pack_line_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                     const float* scales, Word* panel) {
  const int64_t stride = source.stride;
  if (source.dtype == Dtype::F32) {
    const auto* from = static_cast<const float*>(source.data) + first * stride;
    pack_lines(reinterpret_cast<const AnyWord*>(from), stride, lines, k, width, scales, panel);
    return;
  }
  const auto* from = static_cast<const BF16*>(source.data) + first * stride;
  const auto whole_words = [](uint64_t n) { return n % 2 == 0; };
  if (whole_words(k) && whole_words(stride) && reinterpret_cast<uintptr_t>(from) % sizeof(Word) == 0)
    pack_lines(reinterpret_cast<const AnyWord*>(from), stride / 2, lines, k / 2, width, nullptr, panel);
  else
    pack_odd_lines(from, stride, lines, k, width, panel);
}

// Panels of lines across the rows of memory, a few rows at a time: read so, all of a cache line is used while
// it is near.
template <typename T>
void pack_column_panels(const WordSource& source, int64_t k, const PanelRun& run, const float* scales,
                        Word* panels) {
  constexpr int64_t kRows = 16;
  const auto* from = static_cast<const T*>(source.data) + run.first;
  for (int64_t p = 0; p < k; p += kRows)
    for (int64_t i = 0; i < run.count(); ++i)
      pack_columns(from + p * source.stride + i * run.width, source.stride, run.lines_of(i),
                   std::min(kRows, k - p), run.width_of(i),
                   scales == nullptr ? nullptr : scales + i * run.width,
                   panels + run.start_of(i) + words_of(source.dtype, p) * run.width_of(i));
}

}  // namespace

void pack_panels(const WordSource& source, int64_t k, const PanelRun& run, const float* scales,
                 Word* panels) {
  if (source.lines_are_rows)
    for (int64_t i = 0; i < run.count(); ++i)
      pack_line_panel(source, run.first + i * run.width, run.lines_of(i), k, run.width_of(i),
                      scales == nullptr ? nullptr : scales + i * run.width, panels + run.start_of(i));
  else if (source.dtype == Dtype::F32)
    pack_column_panels<float>(source, k, run, scales, panels);
  else
    pack_column_panels<BF16>(source, k, run, scales, panels);
}

void pack_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                Word* panel) {
  pack_panels(source, k, {first, lines, width, true, words_of(source.dtype, k)}, nullptr, panel);
}

}  // namespace cae::cpu
