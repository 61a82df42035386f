#include "cpu/small_gemm.h"

#include <algorithm>
#include <type_traits>

#include "cpu/aligned_room.h"
#include "cpu/gemm.h"
#include "cpu/panel_kernel.h"

namespace cae::cpu {
namespace {

void panel_product(int64_t m, int64_t n, int64_t k, const WordSource& rows, const WordSource& columns,
                   bool accumulate, float* c, int64_t ldc) {
  static thread_local AlignedRoom<Word> row_room, column_room;
  constexpr float kZeros[kPanelColumns] = {};
  const Dtype word = rows.widened ? Dtype::F32 : rows.dtype;
  const int64_t words = rows.words(k);
  const int64_t panels = panels_in(n, kPanelColumns);
  Word* left = row_room.of(kPanelRows * words);
  Word* right = column_room.of(panels * kPanelColumns * words);
  for (int64_t j = 0; j < panels; ++j)
    pack_panel(columns, j * kPanelColumns, std::min(kPanelColumns, n - j * kPanelColumns), k, kPanelColumns,
               right + j * kPanelColumns * words);
  for (int64_t i = 0; i < m; i += kPanelRows) {
    const int64_t lines = std::min(kPanelRows, m - i);
    const PanelKernel kernel = panel_kernel(word, lines);
    pack_panel(rows, i, lines, k, lines, left);
    for (int64_t j = 0; j < panels; ++j) {
      float* to = c + i * ldc + j * kPanelColumns;
      kernel(words, left, right + j * kPanelColumns * words, accumulate ? to : kZeros, accumulate ? ldc : 0,
             to, ldc);
    }
  }
}

template <typename T>
bool goes_wide() {
  return std::is_same_v<T, BF16> && !halves_have_kernels();
}

// The words of a left or a right matrix: its lines are what the product does not sum over.
template <typename T>
WordSource left_words(const Strided<T>& a) {
  return {a.data, DtypeOf<T>::value, a.ld, !a.transposed, goes_wide<T>()};
}
template <typename T>
WordSource right_words(const Strided<T>& b) {
  return {b.data, DtypeOf<T>::value, b.ld, b.transposed, goes_wide<T>()};
}

}  // namespace

int64_t padded_columns(int64_t n) {
  return panels_in(n, kPanelColumns) * kPanelColumns;
}

void small_gemm(int64_t m, int64_t n, int64_t k, Strided<float> a, Strided<float> b, bool accumulate,
                float* c, int64_t ldc) {
  panel_product(m, n, k, left_words(a), right_words(b), accumulate, c, ldc);
}

void small_gemm(int64_t m, int64_t n, int64_t k, Strided<BF16> a, Strided<BF16> b, bool accumulate, float* c,
                int64_t ldc) {
  panel_product(m, n, k, left_words(a), right_words(b), accumulate, c, ldc);
}

void small_gemm(int64_t m, int64_t n, int64_t k, Strided<double> a, Strided<double> b, bool accumulate,
                double* c, int64_t ldc) {
  blas_gemm(a.transposed, b.transposed, m, n, k, 1, a.data, a.ld, b.data, b.ld, accumulate ? 1 : 0, c, ldc);
}

}  // namespace cae::cpu
