#include "cpu/panel_gemm.h"

#include <cpuid.h>
#include <omp.h>

#include <algorithm>

#include "cpu/aligned_room.h"
#include "cpu/panel_kernel.h"
#include "cpu/runs.h"

namespace cae::cpu {
namespace {

constexpr int64_t kLeastRows = 64;        // fewer do not pay for packing b
constexpr int64_t kMostWords = 4096;      // of the summed axis in one go
constexpr int64_t kBlockBytes = 3 << 18;  // of packed b in a thread's second-level cache

bool cpu_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kAmxBf16 = 1U << 22;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0;
}
bool halves_apply() {
  static const bool apply = halves_have_kernels() && !cpu_has_amx();
  return apply;
}

// c, and what its sums start from.
struct Result {
  void* data;
  Dtype dtype;
  int64_t columns;
  bool accumulate;
  const float* bias;  // or zeros; as many as whole panels have columns

  // One tile: into c at once where that is f32 and the tile whole, else by way of a tile of f32.
  void tile(PanelKernel kernel, int64_t words, const Word* a, const Word* b, int64_t row, int64_t rows,
            int64_t column) const {
    const int64_t here = std::min(kPanelColumns, columns - column);
    if (dtype == Dtype::F32 && here == kPanelColumns) {
      float* to = static_cast<float*>(data) + row * columns + column;
      kernel(words, a, b, accumulate ? to : bias + column, accumulate ? columns : 0, to, columns);
      return;
    }
    alignas(64) float sums[kPanelRows * kPanelColumns];
    kernel(words, a, b, bias + column, 0, sums, kPanelColumns);
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = sums + r * kPanelColumns;
      const int64_t at = (row + r) * columns + column;
      if (dtype == Dtype::BF16) {
        convert_run(from, static_cast<BF16*>(data) + at, here);
      } else {
        float* to = static_cast<float*>(data) + at;
        for (int64_t j = 0; j < here; ++j) to[j] = from[j] + (accumulate ? to[j] : 0.f);
      }
    }
  }
};

}  // namespace

bool panel_gemm_applies(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, Dtype c_dtype, bool accumulate) {
  if (a.dtype != b.dtype || m < kLeastRows || n < 2 * kPanelColumns * omp_get_max_threads()) return false;
  if (words_of(a.dtype, k) > kMostWords) return false;
  if (a.dtype == Dtype::F32) return b.transposed && c_dtype == Dtype::F32 && kVector == 16;
  if (a.dtype != Dtype::BF16 || !halves_apply() || !(a.transposed || b.transposed)) return false;
  if (k % 2 != 0 && (!a.transposed || b.transposed)) return false;  // words across two lines
  return c_dtype == Dtype::F32 || (c_dtype == Dtype::BF16 && !accumulate);
}

void panel_gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype,
                const float* bias, bool accumulate) {
  const int64_t words = words_of(a.dtype, k);
  const WordSource rows{a, a.transposed ? m : k, !a.transposed};
  const WordSource columns{b, b.transposed ? k : n, b.transposed};
  const int64_t row_panels = panels_in(m, kPanelRows);
  const int64_t column_panels = panels_in(n, kPanelColumns);
  static thread_local AlignedRoom<Word> packed_rows;
  static thread_local AlignedRoom<float> starts;
  Word* left = packed_rows.of(row_panels * kPanelRows * words);
  float* start = starts.of(column_panels * kPanelColumns);
  std::fill_n(start, column_panels * kPanelColumns, 0.f);
  if (bias != nullptr) std::copy_n(bias, n, start);
  const Result result{c, c_dtype, n, accumulate, start};

  // The same number of blocks for each thread, none larger than its cache.
  const int64_t threads = omp_get_max_threads();
  const int64_t in_cache = std::max<int64_t>(1, kBlockBytes / (words * kPanelColumns * 4));
  const int64_t blocks = threads * panels_in(column_panels, threads * in_cache);
#pragma omp parallel
  {
    static thread_local AlignedRoom<Word> packed_columns;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < row_panels; ++i) {
      const int64_t lines = std::min(kPanelRows, m - i * kPanelRows);
      pack_panel(rows, i * kPanelRows, lines, k, lines, left + i * kPanelRows * words);
    }
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = column_panels * block / blocks;
      const int64_t last = column_panels * (block + 1) / blocks;
      Word* right = packed_columns.of((last - first) * kPanelColumns * words);
      const auto panel = [&](int64_t j) { return right + (j - first) * kPanelColumns * words; };
      for (int64_t j = first; j < last; ++j)
        pack_panel(columns, j * kPanelColumns, std::min(kPanelColumns, n - j * kPanelColumns), k,
                   kPanelColumns, panel(j));
      for (int64_t i = 0; i < row_panels; ++i) {
        const int64_t lines = std::min(kPanelRows, m - i * kPanelRows);
        const PanelKernel kernel = panel_kernel(a.dtype, lines);
        for (int64_t j = first; j < last; ++j)
          result.tile(kernel, words, left + i * kPanelRows * words, panel(j), i * kPanelRows, lines,
                      j * kPanelColumns);
      }
    }
  }
}

}  // namespace cae::cpu
