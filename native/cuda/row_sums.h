#pragma once

#include "cuda/tile.h"

namespace cae::cuda {

// Sums over rows that lie `stride` elements apart.
template <typename T>
struct SumRows {
  const T* from;
  int64_t stride;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, Acc<T> (&sums)[1][N]) const {
    const auto values = load<N>(from + row * stride + column);
#pragma unroll
    for (int i = 0; i < N; ++i) sums[0][i] += values.at[i];
  }
};

// out [columns] (+)= Σ over rows.
template <typename T>
void sum_rows(const char* op, const T* from, int64_t rows, int64_t columns, int64_t stride, Acc<T>* out,
              bool accumulate) {
  const bool wide = moves_by<kWidth<T>>(columns, from) && stride % kWidth<T> == 0;
  sum_over_tiles<kWidth<T>, 1, Acc<T>>(op, rows, columns, wide, SumRows<T>{from, stride}, {{out}},
                                       accumulate);
}

}  // namespace cae::cuda
