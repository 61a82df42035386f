#pragma once

#include <cstdint>

#include "cpu/panels.h"

namespace cae::cpu {

// c[r][j] = start[r][j] + Σ_w a[w][r]·b[w][j] for r < rows ≤ kPanelRows, j < kPanelColumns, over words of two
// panels. The sums stay in registers all along. start_stride 0 repeats one row, as of a bias; start may be c
// itself. b starts at a cache line.
using PanelKernel = void (*)(int64_t words, const Word* a, const Word* b, const float* start,
                             int64_t start_stride, float* c, int64_t c_stride);

// Where a row's words lie in a panel of R rows: side by side with the other rows' at each word, or in blocks
// of its own.
template <int R, bool Blocks>
struct PanelSteps {
  static constexpr int64_t kRow = 1;
  static constexpr int64_t kWord = R;
};
template <int R>
struct PanelSteps<R, true> {
  static constexpr int64_t kRow = kBlockWords;
  static constexpr int64_t kWord = 1;
};

// The kernel for panels of so many rows: of f32, or of bf16, which takes halves_have_kernels().
PanelKernel panel_kernel(Dtype dtype, int64_t rows);

// The kernel for f32 row panels in blocks: a row's first kBlockWords words, then the next row's, and so on,
// and then the following blocks.
PanelKernel panel_block_kernel(int64_t rows);

// Whether this build and this CPU have AVX512-BF16.
bool halves_have_kernels();

}  // namespace cae::cpu
