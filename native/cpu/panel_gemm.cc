#include "cpu/panel_gemm.h"

#include <cpuid.h>
#include <omp.h>

#include <algorithm>

#include "cpu/aligned_room.h"
#include "cpu/panel_form.h"
#include "cpu/runs.h"
#include "cpu/thread_errors.h"

namespace cae::cpu {
namespace {

constexpr int64_t kLeastRows = 64;        // fewer do not pay for packing b
constexpr int64_t kMostRows = 4096;       // packed at a time
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

// c, and what its sums start from: c itself, or a bias of as many numbers, or zeros.
struct Result {
  void* data;
  Dtype dtype;
  int64_t columns;
  bool accumulate;
  const float* bias;

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

void product(int64_t m, int64_t n, int64_t k, const WordSource& rows, const WordSource& columns,
             Result result) {
  const PanelForm form = PanelForm::of(rows.dtype);
  const int64_t words = rows.words(k);
  const int64_t length = form.length(words);
  const int64_t row_panels = panels_in(m, form.rows());
  const int64_t column_panels = panels_in(n, kPanelColumns);
  static thread_local AlignedRoom<Word> packed_rows;
  static thread_local AlignedRoom<float> starts;
  Word* left = packed_rows.of(row_panels * form.rows() * length);
  float* start = starts.of(column_panels * kPanelColumns);
  std::fill_n(start, column_panels * kPanelColumns, 0.f);
  if (result.bias != nullptr) std::copy_n(result.bias, n, start);
  result.bias = start;

  // A part of `panels` for each of `parts`: lines from `first`, as many as there are.
  const auto part = [&](int64_t i, int64_t parts, int64_t panels, int64_t width, int64_t lines) {
    const int64_t first = panels * i / parts * width;
    const int64_t last = std::min(panels * (i + 1) / parts * width, lines);
    return PanelRun{first, last - first, width, false, length};
  };
  // The same number of blocks for each thread, none larger than its cache.
  const int64_t threads = omp_get_max_threads();
  const int64_t in_cache = std::max<int64_t>(1, kBlockBytes / (words * kPanelColumns * 4));
  const int64_t blocks = threads * panels_in(column_panels, threads * in_cache);
  ThreadErrors errors;
#pragma omp parallel
  {
    static thread_local AlignedRoom<Word> packed_columns;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < threads; ++i) {
      const PanelRun run = part(i, threads, row_panels, form.rows(), m);
      errors.keep([&] { form.pack(rows, k, run, left + run.first * length); });
    }
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      PanelRun run = part(block, blocks, column_panels, kPanelColumns, n);
      run.filled = true;
      errors.keep([&] {
        Word* right = packed_columns.of(run.count() * kPanelColumns * length);
        form.pack(columns, k, run, right);
        for (int64_t row = 0; row < m; row += form.rows()) {
          const int64_t lines = std::min(form.rows(), m - row);
          const PanelKernel kernel = form.kernel(lines);
          for (int64_t j = 0; j < run.count(); ++j)
            result.tile(kernel, words, left + row * length, right + run.start_of(j), row, lines,
                        run.first + j * kPanelColumns);
        }
      });
    }
  }
  errors.rethrow();
}

}  // namespace

bool panel_gemm_applies(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, Dtype c_dtype, bool accumulate) {
  if (a.dtype != b.dtype || k == 0 || m < kLeastRows || n < 2 * kPanelColumns * omp_get_max_threads())
    return false;
  if (a.dtype == Dtype::F32 && c_dtype == Dtype::F32 && paired_kernels_apply()) return true;
  const WordSource along{a.data, a.dtype, k, true};
  if (along.words(k) > PanelForm::of(a.dtype).most_words()) return false;
  if (a.dtype == Dtype::F32) return b.transposed && c_dtype == Dtype::F32 && kVector == 16;
  if (a.dtype != Dtype::BF16 || !halves_apply() || !(a.transposed || b.transposed)) return false;
  return c_dtype == Dtype::F32 || (c_dtype == Dtype::BF16 && !accumulate);
}

void panel_gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype,
                const float* bias, bool accumulate) {
  const WordSource rows{a.data, a.dtype, a.transposed ? m : k, !a.transposed};
  const WordSource columns{b.data, b.dtype, b.transposed ? k : n, b.transposed};
  const int64_t parts = panels_in(rows.words(k), PanelForm::of(a.dtype).most_words());
  constexpr int64_t kUnit = 8 * kCycle;  // whole cache lines
  const int64_t part = parts == 1 ? k : panels_in(panels_in(k, parts), kUnit) * kUnit;
  for (int64_t row = 0; row < m; row += kMostRows) {
    void* to = static_cast<char*>(c) + static_cast<size_t>(row * n) * dtype_size(c_dtype);
    for (int64_t first = 0; first < k; first += part)
      product(std::min(kMostRows, m - row), n, std::min(part, k - first), rows.from(row, first),
              columns.from(0, first), {to, c_dtype, n, accumulate || first > 0, first > 0 ? nullptr : bias});
  }
}

}  // namespace cae::cpu
