#include "ops/position_bias.h"

#include <vector>

namespace cae::cpu {
namespace {

void check_index(const TensorView& index, int64_t rows) {
  const int32_t* at = index.data<int32_t>();
  for (int64_t i = 0; i < index.numel(); ++i)
    check(at[i] >= 0 && at[i] < rows, "position_bias", "index ", at[i], " is outside a table of ", rows);
}

template <typename Body>
void dispatch_table(Dtype dtype, Body&& body) {
  dtype == Dtype::F64 ? body(double{}) : body(float{});
}

}  // namespace

void position_bias_forward(const TensorView& table, const TensorView& index, const TensorView& y) {
  const int64_t heads = table.shape[1];
  const int64_t pairs = index.numel();
  const int32_t* at = index.data<int32_t>();
  check_index(index, table.shape[0]);
  dispatch_table(table.dtype, [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t h = 0; h < heads; ++h) {
      T* to = y.data<T>() + h * pairs;
      for (int64_t i = 0; i < pairs; ++i) to[i] = table.data<T>()[at[i] * heads + h];
    }
  });
}

void position_bias_backward(const TensorView& dy, const TensorView& index, const TensorView& dtable,
                            bool accumulate) {
  const int64_t rows = dtable.shape[0];
  const int64_t heads = dtable.shape[1];
  const int64_t pairs = index.numel();
  const int32_t* at = index.data<int32_t>();
  check_index(index, rows);
  dispatch_table(dy.dtype, [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t h = 0; h < heads; ++h) {
      const T* from = dy.data<T>() + h * pairs;
      std::vector<T> sums(static_cast<size_t>(rows));
      for (int64_t i = 0; i < pairs; ++i) sums[at[i]] += from[i];
      for (int64_t r = 0; r < rows; ++r) {
        T& to = dtable.data<T>()[r * heads + h];
        to = accumulate ? to + sums[r] : sums[r];
      }
    }
  });
}

}  // namespace cae::cpu
