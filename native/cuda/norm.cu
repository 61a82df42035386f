// LayerNorm, a warp a row. Rows of up to 1024 columns are kept in registers, so that memory is read once;
// wider ones, and those that do not move 16 bytes at a time, are read again from the cache.
#include "cuda/dispatch.h"
#include "cuda/row_packs.h"
#include "ops/norm.h"

namespace cae::cuda {
namespace {

template <int N, int K, typename X, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize, 2)
    forward_kernel(int64_t rows, int64_t columns, const X* x, const Acc<X>* weight, const Acc<X>* bias,
                   Acc<X> eps, Y* y, Acc<X>* mean, Acc<X>* rstd) {
  using A = Acc<X>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (row >= rows) return;  // a whole warp
  const X* in = x + row * columns;
  Y* out = y + row * columns;
  Pack<A, N> own[K];
  A sum = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int64_t column = static_cast<int64_t>(k * kWarpSize + lane) * N;
    own[k] = column < columns ? load<N>(in + column) : Pack<A, N>{};
#pragma unroll
    for (int i = 0; i < N; ++i) sum += own[k].at[i];
  }
  const A m = over_warp<Sum>(sum) / static_cast<A>(columns);
  A squares = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (static_cast<int64_t>(k * kWarpSize + lane) * N >= columns) continue;
#pragma unroll
    for (int i = 0; i < N; ++i) squares += (own[k].at[i] - m) * (own[k].at[i] - m);
  }
  const A s = A(1) / std::sqrt(over_warp<Sum>(squares) / static_cast<A>(columns) + eps);
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int64_t column = static_cast<int64_t>(k * kWarpSize + lane) * N;
    if (column >= columns) continue;
    const auto gain = load<N>(weight + column);
    const auto shift = load<N>(bias + column);
#pragma unroll
    for (int i = 0; i < N; ++i) own[k].at[i] = (own[k].at[i] - m) * s * gain.at[i] + shift.at[i];
    store<N>(out + column, own[k]);
  }
  if (lane == 0) {
    mean[row] = m;
    rstd[row] = s;
  }
}

template <typename X, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize)
    forward_again_kernel(int64_t rows, int64_t columns, const X* x, const Acc<X>* weight, const Acc<X>* bias,
                         Acc<X> eps, Y* y, Acc<X>* mean, Acc<X>* rstd) {
  using A = Acc<X>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (row >= rows) return;
  const X* in = x + row * columns;
  A sum = 0;
  for (int64_t c = lane; c < columns; c += kWarpSize) sum += static_cast<A>(in[c]);
  const A m = over_warp<Sum>(sum) / static_cast<A>(columns);
  A squares = 0;
  for (int64_t c = lane; c < columns; c += kWarpSize)
    squares += (static_cast<A>(in[c]) - m) * (static_cast<A>(in[c]) - m);
  const A s = A(1) / std::sqrt(over_warp<Sum>(squares) / static_cast<A>(columns) + eps);
  for (int64_t c = lane; c < columns; c += kWarpSize)
    y[row * columns + c] = Y((static_cast<A>(in[c]) - m) * s * weight[c] + bias[c]);
  if (lane == 0) {
    mean[row] = m;
    rstd[row] = s;
  }
}

// dx = rstd·(g − mean(g) − x̂·mean(g·x̂)), g = dy·weight. Blocks stay for many rows: a thread keeps its
// columns' sums dy·x̂ and dy in registers, the warps of a block add theirs, and the block leaves them in
// partial [block, 2, columns].
template <int N, int K, typename X, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize, 1)
    backward_kernel(int64_t rows, int64_t columns, const Y* dy, const X* x, const Acc<X>* weight,
                    const Acc<X>* bias, const Acc<X>* mean, const Acc<X>* rstd, X* dx, Y* y,
                    Acc<X>* partial) {
  using A = Acc<X>;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  A dgain[K][N] = {};
  A dshift[K][N] = {};
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + warp; row < rows; row += step) {
    const A m = mean[row];
    const A s = rstd[row];
    Pack<A, N> normal[K];
    Pack<A, N> g[K];
    A sum_g = 0;
    A sum_gx = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t column = static_cast<int64_t>(k * kWarpSize + lane) * N;
      const bool inside = column < columns;
      normal[k] = inside ? load<N>(x + row * columns + column) : Pack<A, N>{};
      g[k] = inside ? load<N>(dy + row * columns + column) : Pack<A, N>{};
      const auto gain = inside ? load<N>(weight + column) : Pack<A, N>{};
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const A d = g[k].at[i];
        normal[k].at[i] = (normal[k].at[i] - m) * s;
        g[k].at[i] = d * gain.at[i];
        dgain[k][i] += d * normal[k].at[i];
        dshift[k][i] += d;
        sum_g += g[k].at[i];
        sum_gx += g[k].at[i] * normal[k].at[i];
      }
    }
    const A mean_g = over_warp<Sum>(sum_g) / static_cast<A>(columns);
    const A mean_gx = over_warp<Sum>(sum_gx) / static_cast<A>(columns);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t column = static_cast<int64_t>(k * kWarpSize + lane) * N;
      if (column >= columns) continue;
#pragma unroll
      for (int i = 0; i < N; ++i) g[k].at[i] = s * (g[k].at[i] - mean_g - normal[k].at[i] * mean_gx);
      store<N>(dx + row * columns + column, g[k]);
      if (y == nullptr) continue;
      const auto gain = load<N>(weight + column);
      const auto shift = load<N>(bias + column);
#pragma unroll
      for (int i = 0; i < N; ++i) normal[k].at[i] = normal[k].at[i] * gain.at[i] + shift.at[i];
      store<N>(y + row * columns + column, normal[k]);
    }
  }
  if (partial == nullptr) return;
  A* const own = partial + static_cast<int64_t>(blockIdx.x) * 2 * columns;
  add_warps<N, K>(dgain, columns, own);
  add_warps<N, K>(dshift, columns, own + columns);
}

// dx and y alone, for any width.
template <typename X, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize)
    backward_again_kernel(int64_t rows, int64_t columns, const Y* dy, const X* x, const Acc<X>* weight,
                          const Acc<X>* bias, const Acc<X>* mean, const Acc<X>* rstd, X* dx, Y* y) {
  using A = Acc<X>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (row >= rows) return;
  const X* in = x + row * columns;
  const Y* from = dy + row * columns;
  const A m = mean[row];
  const A s = rstd[row];
  A sum_g = 0;
  A sum_gx = 0;
  for (int64_t c = lane; c < columns; c += kWarpSize) {
    const A g = static_cast<A>(from[c]) * weight[c];
    sum_g += g;
    sum_gx += g * ((static_cast<A>(in[c]) - m) * s);
  }
  const A mean_g = over_warp<Sum>(sum_g) / static_cast<A>(columns);
  const A mean_gx = over_warp<Sum>(sum_gx) / static_cast<A>(columns);
  for (int64_t c = lane; c < columns; c += kWarpSize) {
    const A normal = (static_cast<A>(in[c]) - m) * s;
    dx[row * columns + c] = X(s * (static_cast<A>(from[c]) * weight[c] - mean_g - normal * mean_gx));
    if (y != nullptr) y[row * columns + c] = Y(normal * weight[c] + bias[c]);
  }
}

// The sums over rows for the same widths: dweight from dy·x̂, dbias from dy.
template <typename X, typename Y>
struct ParameterSums {
  using A = Acc<X>;
  const Y* dy;
  const X* x;
  const A* mean;
  const A* rstd;
  int64_t columns;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, A (&sums)[2][N]) const {
    const auto d = load<N>(dy + row * columns + column);
    const auto in = load<N>(x + row * columns + column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      sums[0][i] += d.at[i] * ((in.at[i] - mean[row]) * rstd[row]);
      sums[1][i] += d.at[i];
    }
  }
};

}  // namespace

void layer_norm_forward(const TensorView& x, const TensorView& weight, const TensorView& bias, double eps,
                        const TensorView& y, const TensorView& mean, const TensorView& rstd) {
  constexpr auto op = "layer_norm";
  const int64_t rows = x.shape.rows();
  const int64_t columns = x.shape[-1];
  if (rows == 0) return;
  dispatch_reals(x.dtype, y.dtype, op, [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    constexpr int N = kWidth<X, Y>;
    const bool wide = moves_by<N>(columns, x.data<X>(), y.data<Y>(), weight.data<A>(), bias.data<A>());
    with_packs<N>(wide, columns, [&]<int K>(std::integral_constant<int, K>) {
      const dim3 grid(blocks_for(rows, kWarps));
      const auto run = [&](auto kernel) {
        launch(op, kernel, grid, dim3(kWarps * kWarpSize), 0, rows, columns, x.data<X>(), weight.data<A>(),
               bias.data<A>(), static_cast<A>(eps), y.data<Y>(), mean.data<A>(), rstd.data<A>());
      };
      if constexpr (K == 0)
        run(&forward_again_kernel<X, Y>);
      else
        run(&forward_kernel<N, K, X, Y>);
    });
  });
}

void layer_norm_backward(const TensorView& dy, const TensorView& x, const TensorView& weight,
                         const TensorView& bias, const TensorView& mean, const TensorView& rstd,
                         const TensorView& dx, const TensorView& dweight, const TensorView& dbias,
                         bool accumulate, const TensorView& y) {
  constexpr auto op = "layer_norm_backward";
  const int64_t rows = x.shape.rows();
  const int64_t columns = x.shape[-1];
  if (columns == 0) return;
  dispatch_reals(x.dtype, dy.dtype, op, [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    constexpr int N = kWidth<X, Y>;
    const SumTargets<A, 2> sums{{dweight.data<A>(), dbias.data<A>()}};
    const bool wide = moves_by<N>(columns, x.data<X>(), dy.data<Y>(), weight.data<A>(), bias.data<A>(),
                                  dx.data<X>(), y.data<Y>());
    with_packs<N>(wide, columns, [&]<int K>(std::integral_constant<int, K>) {
      if constexpr (K == 0) {
        if (rows > 0)
          launch(op, &backward_again_kernel<X, Y>, dim3(blocks_for(rows, kWarps)), dim3(kWarps * kWarpSize),
                 0, rows, columns, dy.data<Y>(), x.data<X>(), weight.data<A>(), bias.data<A>(),
                 mean.data<A>(), rstd.data<A>(), dx.data<X>(), y.data<Y>());
        const ParameterSums<X, Y> body{dy.data<Y>(), x.data<X>(), mean.data<A>(), rstd.data<A>(), columns};
        if (dweight) sum_over_tiles<N, 2, A>(op, rows, columns, wide, body, sums, accumulate);
      } else {
        const unsigned blocks = std::min(blocks_for(rows, kWarps), static_cast<unsigned>(2 * processors()));
        const Scratch partial(sizeof(A) * 2 * blocks * static_cast<size_t>(columns));
        launch(op, &backward_kernel<N, K, X, Y>, dim3(blocks), dim3(kWarps * kWarpSize), 0, rows, columns,
               dy.data<Y>(), x.data<X>(), weight.data<A>(), bias.data<A>(), mean.data<A>(), rstd.data<A>(),
               dx.data<X>(), y.data<Y>(), dweight ? partial.as<A>() : nullptr);
        if (dweight)
          finish_sums<A, 2>(op, partial.as<A>(), static_cast<int>(blocks), columns, sums, accumulate);
      }
    });
  });
}

}  // namespace cae::cuda
