#include "cpu/paired_panels.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "cpu/aligned_room.h"

namespace cae::cpu {
namespace {

// Σ|x| along each line of a run.
void sum_lines(const WordSource& source, int64_t k, const PanelRun& run, float* sums) {
  for (int64_t i = 0; i < run.lines; ++i) {
    const float* line = static_cast<const float*>(source.data) + (run.first + i) * source.stride;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t p = 0; p < k; ++p) sum += std::fabs(line[p]);
    sums[i] = sum;
  }
}
void sum_columns(const WordSource& source, int64_t k, const PanelRun& run, float* sums) {
  std::fill_n(sums, run.lines, 0.F);
  for (int64_t p = 0; p < k; ++p) {
    const float* row = static_cast<const float*>(source.data) + p * source.stride + run.first;
#pragma omp simd
    for (int64_t i = 0; i < run.lines; ++i) sums[i] += std::fabs(row[i]);
  }
}

// The power of two that brings a mean to [1, 2), and its inverse. A line of zeros gives zeros: what rounding
// leaves of its pairs' terms is no part of the product.
struct Balance {
  float to, back;
};
Balance balance_of(float mean) {
  constexpr int kBias = 127;
  constexpr int kMantissa = 23;
  constexpr int kMost = 120;
  if (mean == 0.F) return {1.F, 0.F};
  const int exponent = static_cast<int>(std::bit_cast<uint32_t>(mean) >> kMantissa) - kBias;
  const int power = std::clamp(exponent, -kMost, kMost);
  const auto two_to = [](int e) {
    return std::bit_cast<float>(static_cast<uint32_t>(e + kBias) << kMantissa);
  };
  return {two_to(-power), two_to(power)};
}

// The closing words of a panel of balanced lines.
void close(float* panel, int64_t words, int64_t width, const float* back) {
  float terms[kPanelColumns] = {};
  for (int64_t w = 0; w + kCycle <= words; w += kCycle) {
    const float* plus = panel + w * width;
    const float* minus = plus + kTurn * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) terms[i] += plus[i] * plus[width + i] - minus[i] * minus[width + i];
  }
  std::copy_n(terms, width, panel + words * width);
  std::copy_n(back, width, panel + (words + 1) * width);
}

void pack_balanced(const WordSource& source, int64_t k, const PanelRun& run, Word* panels) {
  static thread_local AlignedRoom<float> to_room, back_room;
  const int64_t lines = run.count() * run.width;
  float* to = to_room.of(lines);
  float* back = back_room.of(lines);
  (source.lines_are_rows ? sum_lines : sum_columns)(source, k, run, to);
  std::fill(to + run.lines, to + lines, 0.F);
  for (int64_t i = 0; i < lines; ++i) {
    const Balance balance = balance_of(to[i] / static_cast<float>(k));
    to[i] = balance.to;
    back[i] = balance.back;
  }
  pack_panels(source, k, run, to, panels);
  for (int64_t i = 0; i < run.count(); ++i)
    close(reinterpret_cast<float*>(panels) + run.start_of(i), k, run.width_of(i), back + i * run.width);
}

}  // namespace

void pack_paired_panels(const WordSource& source, int64_t k, const PanelRun& run, Word* panels) {
  // Few enough at a time for the second reading to find them in the cache.
  constexpr int64_t kAtOnce = 1 << 16;  // numbers
  const int64_t at_once = std::max<int64_t>(1, kAtOnce / (k * run.width)) * run.width;
  for (int64_t first = 0; first < run.lines; first += at_once) {
    const PanelRun part{run.first + first, std::min(at_once, run.lines - first), run.width, run.filled,
                        run.length};
    pack_balanced(source, k, part, panels + first * run.length);
  }
}

void close_paired_blocks(float* panel, int64_t words, int64_t rows) {
  float* terms = panel + words * rows;
  for (int64_t r = 0; r < rows; ++r) {
    float sums[kBlockWords] = {};
    for (int64_t w = 0; w < words; w += 2 * kBlockWords) {
      const float* first = panel + w * rows + r * kBlockWords;
      const float* second = first + kBlockWords * rows;
#pragma omp simd
      for (int64_t i = 1; i < kBlockWords; ++i)
        sums[i] += first[i - 1] * first[i] - second[i - 1] * second[i];
    }
    terms[r] = 0;
    for (int64_t i = 1; i < kBlockWords; ++i)
      if (block_pair_sign(i) != 0) terms[r] += static_cast<float>(block_pair_sign(i)) * sums[i];
    terms[rows + r] = 1;
  }
}

}  // namespace cae::cpu
