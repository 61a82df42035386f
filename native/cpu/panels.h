#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/gemm.h"

// Matrices packed for cpu/panel_kernel.h: panels of a few rows or columns, whose numbers along the summed
// axis lie one after the other. A word is what one lane of a vector holds of that axis: a float, or two
// neighbouring bf16.
namespace cae::cpu {

using Word = uint32_t;

// A panel is as large as the vector registers hold its product's sums: 14 x 2 of 32 with AVX-512, 6 x 2 of 16
// with AVX2.
#ifdef __AVX512F__
constexpr int64_t kVector = 16;  // words in a vector
constexpr int64_t kPanelRows = 14;
#else
constexpr int64_t kVector = 8;
constexpr int64_t kPanelRows = 6;
#endif
constexpr int64_t kPanelColumns = 2 * kVector;
constexpr int64_t kBlockWords = 16;  // of a row side by side, where a row panel is of blocks

inline const Word* as_words(const float* numbers) {
  return reinterpret_cast<const Word*>(numbers);
}

inline int64_t panels_in(int64_t lines, int64_t width) {
  return (lines + width - 1) / width;
}

// A matrix of f32 or bf16 seen with its summed axis along words; lines are its other axis.
struct WordSource {
  const void* data;
  Dtype dtype;
  int64_t stride;        // numbers from one row in memory to the next
  bool lines_are_rows;   // a line's numbers lie side by side in memory
  bool widened = false;  // bf16 packed as floats

  // Words of k numbers: half as many where a word is two bf16, the last one with a zero where k is odd.
  int64_t words(int64_t k) const { return dtype == Dtype::BF16 && !widened ? (k + 1) / 2 : k; }
  // What is left from a line and a number of the summed axis on.
  WordSource from(int64_t line, int64_t number) const {
    const int64_t skipped = lines_are_rows ? line * stride + number : number * stride + line;
    return {static_cast<const char*>(data) + static_cast<size_t>(skipped) * dtype_size(dtype), dtype, stride,
            lines_are_rows, widened};
  }
};

// panel[w·width + i] = word w of line first + i; zeros for lines ≤ i < width. width ≤ kPanelColumns.
void pack_panel(const WordSource& source, int64_t first, int64_t lines, int64_t k, int64_t width,
                Word* panel);

// A run of panels, `length` words a line apart, the last one of the lines that are left.
struct PanelRun {
  int64_t first, lines;  // of the source
  int64_t width;         // lines of a panel
  bool filled;           // whether the last one is filled up with zeros to that width
  int64_t length;
  int64_t count() const { return panels_in(lines, width); }
  int64_t lines_of(int64_t panel) const { return std::min(width, lines - panel * width); }
  int64_t width_of(int64_t panel) const { return filled ? width : lines_of(panel); }
  int64_t start_of(int64_t panel) const { return panel * width * length; }
};

// All of them, in turn; words of f32 multiplied by `scales`, one a line, where they are given. Up to a vector
// of words behind a narrower panel may be written over: run.length · width have room.
void pack_panels(const WordSource& source, int64_t k, const PanelRun& run, const float* scales, Word* panels);

}  // namespace cae::cpu
