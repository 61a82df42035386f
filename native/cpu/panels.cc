#include "cpu/panels.h"

#include <algorithm>

#include "cpu/word_vectors.h"

namespace cae::cpu {
namespace {

// Words as they lie in memory, and bf16 widened to words.
inline Words read(const AnyWord* from, const FirstWords& some) {
  return some.load(from);
}
inline Words read(const BF16* from, const FirstWords& some) {
  return some.load_halves(from) << 16;
}

// One after the other, up to `last`: those before it may write over their successor's place, which is faster
// than to leave it alone.
inline void store_run(AnyWord* to, int64_t width, int64_t at, int64_t last, const FirstWords& some,
                      Words words) {
  if (at < last && width <= kVector)
    std::memcpy(to + at * width, &words, sizeof words);
  else
    some.store(words, to + at * width);
}

template <typename T>
void pack_lines(const T* from, int64_t stride, int64_t lines, int64_t words, int64_t width,
                const float* scales, AnyWord* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const int64_t here = std::clamp<int64_t>(lines - i, 0, kVector);
    const FirstWords stored(width - i);
    for (int64_t w = 0; w < words; w += kVector) {
      const FirstWords loaded(words - w);
      Words v[kVector];
      for (int64_t r = 0; r < kVector; ++r)
        v[r] = r < here ? read(from + (i + r) * stride + w, loaded) : Words{};
      if (scales != nullptr)
        for (int64_t r = 0; r < here; ++r) v[r] = scaled(v[r], scales[i + r] - Floats{});
      transpose(v);
      const int64_t last = std::min(kVector, words - w) - 1;
      for (int64_t r = 0; r <= last; ++r) store_run(panel + w * width + i, width, r, last, stored, v[r]);
    }
  }
}

// Lines across the rows of memory: a word comes from one row.
template <typename T>
void pack_columns(const T* from, int64_t stride, int64_t lines, int64_t k, int64_t width, const float* scales,
                  AnyWord* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const FirstWords loaded(lines - i);
    const FirstWords stored(width - i);
    const auto by = scales == nullptr ? 1.F - Floats{} : reinterpret_cast<Floats>(loaded.load(scales + i));
    for (int64_t p = 0; p < k; ++p)
      store_run(panel + i, width, p, k - 1, stored, scaled(read(from + p * stride + i, loaded), by));
  }
}

// A word of two bf16 comes from two.
void pack_column_halves(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width,
                        AnyWord* panel) {
  for (int64_t i = 0; i < width; i += kVector) {
    const FirstWords loaded(lines - i);
    const FirstWords stored(width - i);
    const auto row = [&](int64_t p) { return p < k ? loaded.load_halves(from + p * stride + i) : Words{}; };
    const int64_t last = (k - 1) / 2;
    for (int64_t w = 0; w <= last; ++w)
      store_run(panel + i, width, w, last, stored, row(2 * w) | row(2 * w + 1) << 16);
  }
}

// Lines of bf16 whose words straddle addresses, or end in half a word.
void pack_odd_lines(const BF16* from, int64_t stride, int64_t lines, int64_t k, int64_t width,
                    AnyWord* panel) {
  const auto bits = [&](int64_t i, int64_t p) -> uint32_t { return p < k ? from[i * stride + p].bits : 0; };
  for (int64_t p = 0; p < k; p += 2)
    for (int64_t i = 0; i < width; ++i)
      panel[p / 2 * width + i] = i < lines ? bits(i, p) | bits(i, p + 1) << 16 : 0;
}

// One panel of lines that are rows of memory.
void pack_line_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                     const float* scales, AnyWord* panel) {
  const int64_t stride = source.stride;
  if (source.dtype == Dtype::F32) {
    const auto* from = static_cast<const AnyWord*>(source.data) + first * stride;
    pack_lines(from, stride, lines, k, width, scales, panel);
    return;
  }
  const auto* from = static_cast<const BF16*>(source.data) + first * stride;
  const auto whole_words = [](uint64_t n) { return n % 2 == 0; };
  if (source.widened)
    pack_lines(from, stride, lines, k, width, scales, panel);
  else if (whole_words(k) && whole_words(stride) && reinterpret_cast<uintptr_t>(from) % sizeof(Word) == 0)
    pack_lines(reinterpret_cast<const AnyWord*>(from), stride / 2, lines, k / 2, width, nullptr, panel);
  else
    pack_odd_lines(from, stride, lines, k, width, panel);
}

// Panels of lines across the rows of memory, a few rows at a time: read so, all of a cache line is used while
// it is near.
void pack_column_panels(const WordSource& source, int64_t k, const PanelRun& run, const float* scales,
                        AnyWord* panels) {
  constexpr int64_t kRows = 16;
  for (int64_t p = 0; p < k; p += kRows)
    for (int64_t i = 0; i < run.count(); ++i) {
      const void* from = source.from(run.first + i * run.width, p).data;
      const int64_t rows = std::min(kRows, k - p);
      const int64_t width = run.width_of(i);
      AnyWord* panel = panels + run.start_of(i) + source.words(p) * width;
      const float* by = scales == nullptr ? nullptr : scales + i * run.width;
      if (source.dtype == Dtype::F32)
        pack_columns(static_cast<const AnyWord*>(from), source.stride, run.lines_of(i), rows, width, by,
                     panel);
      else if (source.widened)
        pack_columns(static_cast<const BF16*>(from), source.stride, run.lines_of(i), rows, width, by, panel);
      else
        pack_column_halves(static_cast<const BF16*>(from), source.stride, run.lines_of(i), rows, width,
                           panel);
    }
}

}  // namespace

void pack_panels(const WordSource& source, int64_t k, const PanelRun& run, const float* scales,
                 Word* panels) {
  if (!source.lines_are_rows) {
    pack_column_panels(source, k, run, scales, panels);
    return;
  }
  for (int64_t i = 0; i < run.count(); ++i)
    pack_line_panel(source, run.first + i * run.width, run.lines_of(i), k, run.width_of(i),
                    scales == nullptr ? nullptr : scales + i * run.width, panels + run.start_of(i));
}

void pack_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                Word* panel) {
  pack_panels(source, k, {first, lines, width, true, source.words(k)}, nullptr, panel);
}

}  // namespace cae::cpu
