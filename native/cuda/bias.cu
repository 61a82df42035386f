#include "cuda/dispatch.h"
#include "cuda/library.h"
#include "cuda/tile.h"

namespace cae::cuda {
namespace {

// y = y + bias, then a relu if asked for.
template <typename T>
struct BiasRelu {
  using A = Acc<T>;
  T* y;
  const A* bias;
  int64_t columns;
  bool relu;
  template <int N>
  __device__ Pack<A, N> prepare(int64_t column) const {
    if (bias != nullptr) return load<N>(bias + column);
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, const Pack<A, N>& shift, float (&)[1][N]) const {
    auto value = load<N>(y + row * columns + column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      value.at[i] += shift.at[i];
      if (relu && value.at[i] < 0) value.at[i] = 0;
    }
    store<N>(y + row * columns + column, value);
  }
};

}  // namespace

void add_bias(const char* op, const TensorView& y, const TensorView& bias, bool relu) {
  if (!bias && !relu) return;
  const int64_t columns = y.shape[-1];
  dispatch_real(y.dtype, op, [&]<typename T>(T) {
    const BiasRelu<T> body{y.data<T>(), bias.data<Acc<T>>(), columns, relu};
    over_tiles<kWidth<T>>(op, y.shape.rows(), columns, moves_by<kWidth<T>>(columns, body.y, body.bias), body);
  });
}

}  // namespace cae::cuda
