#include "cuda/dispatch.h"
#include "cuda/tile.h"
#include "ops/tokens.h"

namespace cae::cuda {
namespace {

// A block has 32·N columns of a sample, and its rows of threads share out the tokens.
template <int N, typename T>
__global__ void __launch_bounds__(kWarpSize* kTileRows)
    mean_tokens_kernel(int64_t tokens, int64_t start, int64_t columns, const T* x, T* y) {
  using A = Acc<T>;
  CAE_SHARED_ARRAY(A, room, kTileRows * kWarpSize * N);
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kWarpSize + threadIdx.x) * N;
  const T* from = x + blockIdx.y * tokens * columns + column;
  Pack<A, N> sum = {};
  if (column < columns) {
#pragma unroll 4
    for (int64_t t = start + threadIdx.y; t < tokens; t += kTileRows) {
      const auto values = load<N>(from + t * columns);
#pragma unroll
      for (int i = 0; i < N; ++i) sum.at[i] += values.at[i];
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) room[(threadIdx.y * N + i) * kWarpSize + threadIdx.x] = sum.at[i];
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  const A share = A(1) / static_cast<A>(tokens - start);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    A total = 0;
#pragma unroll
    for (int r = 0; r < kTileRows; ++r) total += room[(r * N + i) * kWarpSize + threadIdx.x];
    sum.at[i] = total * share;
  }
  store<N>(y + blockIdx.y * columns + column, sum);
}

template <typename T>
struct SpreadMean {
  const T* dy;
  T* dx;
  int64_t tokens, start, columns;
  Acc<T> share;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    Pack<Acc<T>, N> values = {};
    if (remainder_of(row, tokens) >= start) {
      values = load<N>(dy + quotient(row, tokens) * columns + column);
#pragma unroll
      for (int i = 0; i < N; ++i) values.at[i] *= share;
    }
    store<N>(dx + row * columns + column, values);
  }
};

}  // namespace

void mean_tokens_forward(const TensorView& x, int64_t start, const TensorView& y) {
  constexpr auto op = "mean_tokens";
  const int64_t batch = x.shape[0];
  const int64_t columns = x.shape[2];
  if (y.numel() == 0) return;
  check(batch < 65536, op, "a batch of ", batch, " is more than the kernel takes; lower --batch_size");
  dispatch_real(x.dtype, op, [&]<typename T>(T) {
    const bool wide = moves_by<kWidth<T>>(columns, x.data<T>(), y.data<T>());
    with_width<kWidth<T>>(wide, [&]<int N>(std::integral_constant<int, N>) {
      launch(op, &mean_tokens_kernel<N, T>,
             dim3(blocks_for(columns, kWarpSize * N), static_cast<unsigned>(batch)),
             dim3(kWarpSize, kTileRows), 0, x.shape[1], start, columns, x.data<T>(), y.data<T>());
    });
  });
}

void mean_tokens_backward(const TensorView& dy, int64_t start, const TensorView& dx) {
  const int64_t tokens = dx.shape[1];
  const int64_t columns = dx.shape[2];
  dispatch_real(dy.dtype, "mean_tokens_backward", [&]<typename T>(T) {
    const SpreadMean<T> body{dy.data<T>(), dx.data<T>(), tokens,
                             start,        columns,      Acc<T>(1) / static_cast<Acc<T>>(tokens - start)};
    const bool wide = moves_by<kWidth<T>>(columns, body.dy, body.dx);
    over_tiles<kWidth<T>>("mean_tokens_backward", dx.shape.rows(), columns, wide, body);
  });
}

}  // namespace cae::cuda
