#pragma once

#include <omp.h>

#include <cstdint>
#include <vector>

#include "cpu/vector_math.h"

namespace cae::cpu {

// Row ranges of the threads, fixed by the number of threads alone: the order of every sum, and with it every
// bit of a result, is the same from run to run.
struct RowRange {
  int64_t begin, end;
};
inline RowRange rows_of_thread(int64_t rows, int thread, int threads) {
  return {rows * thread / threads, rows * (thread + 1) / threads};
}

// Sums over rows into `sums` vectors of `columns` each. body(row, partial) adds one row's terms to the
// thread's own partial vectors [sums·columns]; they are then added in thread order to (or written over)
// out[s].
template <typename A, typename Body>
void sum_over_rows(int64_t rows, int64_t columns, int sums, A* const* out, bool accumulate, Body&& body) {
  const int threads = omp_get_max_threads();
  const int64_t width = sums * columns;
  static thread_local std::vector<A> partial;
  partial.assign(static_cast<size_t>(width) * threads, A(0));
  A* const base = partial.data();
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    const RowRange range = rows_of_thread(rows, thread, threads);
    for (int64_t row = range.begin; row < range.end; ++row) body(row, base + width * thread);
  }
  for (int s = 0; s < sums; ++s) {
    if (out[s] == nullptr) continue;
    for (int64_t c = 0; c < columns; ++c) {
      A sum = accumulate ? out[s][c] : A(0);
      for (int t = 0; t < threads; ++t) sum += base[width * t + s * columns + c];
      out[s][c] = sum;
    }
  }
}

}  // namespace cae::cpu
