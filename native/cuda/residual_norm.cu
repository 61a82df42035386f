// A residual connection and the norm behind it, a warp a row, the row in registers from the sum to its
// normalised copy. Rows that are not for registers are read again from the cache.
#include "cuda/dispatch.h"
#include "cuda/row_packs.h"
#include "ops/residual_norm.h"

namespace cae::cuda {
namespace {

// Calls body(A{}, B{}, Y{}) with the types of a stream, its branch and its normalised copy.
template <typename Body>
void dispatch_triple(Dtype branch, Dtype normal, const char* op, Body&& body) {
  dispatch_real(branch, op, [&]<typename B>(B) {
    if (normal == branch)
      body(Acc<B>{}, B{}, B{});
    else if constexpr (!std::is_same_v<Acc<B>, B>)
      body(Acc<B>{}, B{}, Acc<B>{});
    else
      fail(op, "a normalised copy in ", dtype_name(normal), " beside a branch in ", dtype_name(branch));
  });
}

// x + keep[sample]·gamma·branch.
template <typename A, typename B>
struct Residual {
  const A* x;
  const B* branch;
  const A* gamma;
  const A* keep;
  int64_t tokens, columns;
  __device__ A kept(int64_t row) const { return keep != nullptr ? keep[quotient(row, tokens)] : A(1); }
  __device__ A at(int64_t row, int64_t column) const {
    const int64_t place = row * columns + column;
    const A scale = gamma != nullptr ? gamma[column] : A(1);
    return x[place] + kept(row) * scale * static_cast<A>(branch[place]);
  }
};

// What both passes know of the norm.
template <typename A>
struct Norm {
  const A* weight;
  const A* bias;
  A* mean;
  A* rstd;
};

template <int N, int K, typename A, typename B, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize, 2)
    forward_kernel(int64_t rows, int64_t columns, const __grid_constant__ Residual<A, B> residual,
                   const __grid_constant__ Norm<A> norm, A eps, A* stream, Y* y) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (row >= rows) return;  // a whole warp
  const A kept = residual.kept(row);
  Pack<A, N> own[K];
  A sum = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int64_t column = static_cast<int64_t>(k * kWarpSize + lane) * N;
    own[k] = {};
    if (column >= columns) continue;
    own[k] = load<N>(residual.x + row * columns + column);
    const auto add = load<N>(residual.branch + row * columns + column);
    const auto scale = load_or_ones<N>(residual.gamma, column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      own[k].at[i] += kept * scale.at[i] * add.at[i];
      sum += own[k].at[i];
    }
    store<N>(stream + row * columns + column, own[k]);
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
    const auto gain = load<N>(norm.weight + column);
    const auto shift = load<N>(norm.bias + column);
#pragma unroll
    for (int i = 0; i < N; ++i) own[k].at[i] = (own[k].at[i] - m) * s * gain.at[i] + shift.at[i];
    store<N>(y + row * columns + column, own[k]);
  }
  if (lane == 0) {
    norm.mean[row] = m;
    norm.rstd[row] = s;
  }
}

template <typename A, typename B, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize)
    forward_again_kernel(int64_t rows, int64_t columns, const __grid_constant__ Residual<A, B> residual,
                         const __grid_constant__ Norm<A> norm, A eps, A* stream, Y* y) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (row >= rows) return;
  A* const own = stream + row * columns;  // a thread reads again what itself wrote
  A sum = 0;
  for (int64_t c = lane; c < columns; c += kWarpSize) {
    own[c] = residual.at(row, c);
    sum += own[c];
  }
  const A m = over_warp<Sum>(sum) / static_cast<A>(columns);
  A squares = 0;
  for (int64_t c = lane; c < columns; c += kWarpSize) squares += (own[c] - m) * (own[c] - m);
  const A s = A(1) / std::sqrt(over_warp<Sum>(squares) / static_cast<A>(columns) + eps);
  for (int64_t c = lane; c < columns; c += kWarpSize)
    y[row * columns + c] = Y((own[c] - m) * s * norm.weight[c] + norm.bias[c]);
  if (lane == 0) {
    norm.mean[row] = m;
    norm.rstd[row] = s;
  }
}

// What backward reads and writes, [rows, columns] each; those that may be missing are null.
template <typename A, typename B, typename Y>
struct Gradients {
  const Y* dy;
  const A* dstream;  // may be missing
  const A* stream;
  A* dx;
  B* dbranch;
  Y* y;  // may be missing
};

// dz = dstream + rstd·(g − mean(g) − x̂·mean(g·x̂)) with g = dy·weight goes to dx, and scaled to dbranch.
// Blocks stay for many rows: a thread keeps its columns' sums keep·dz·branch, dy·x̂ and dy in registers, the
// warps of a block add theirs, and the block leaves them in partial [block, 3, columns]. residual.branch is
// null where gamma is not trained.
template <int N, int K, typename A, typename B, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize, 1)
    backward_kernel(int64_t rows, int64_t columns, const __grid_constant__ Gradients<A, B, Y> at,
                    const __grid_constant__ Residual<A, B> residual, const __grid_constant__ Norm<A> norm,
                    A* partial) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  A dscale[K][N] = {};
  A dgain[K][N] = {};
  A dshift[K][N] = {};
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + warp; row < rows; row += step) {
    const A m = norm.mean[row];
    const A s = norm.rstd[row];
    const A kept = residual.kept(row);
    const int64_t first = row * columns;
    Pack<A, N> normal[K];
    Pack<A, N> g[K];
    A sum_g = 0;
    A sum_gx = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t column = static_cast<int64_t>(k * kWarpSize + lane) * N;
      const bool inside = column < columns;
      normal[k] = inside ? load<N>(at.stream + first + column) : Pack<A, N>{};
      g[k] = inside ? load<N>(at.dy + first + column) : Pack<A, N>{};
      const auto gain = inside ? load<N>(norm.weight + column) : Pack<A, N>{};
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
      const auto arriving = at.dstream != nullptr ? load<N>(at.dstream + first + column) : Pack<A, N>{};
#pragma unroll
      for (int i = 0; i < N; ++i)
        g[k].at[i] = s * (g[k].at[i] - mean_g - normal[k].at[i] * mean_gx) + arriving.at[i];
      store<N>(at.dx + first + column, g[k]);
      if (residual.branch != nullptr) {
        const auto by = load<N>(residual.branch + first + column);
#pragma unroll
        for (int i = 0; i < N; ++i) dscale[k][i] += kept * g[k].at[i] * by.at[i];
      }
      const auto scale = load_or_ones<N>(residual.gamma, column);
#pragma unroll
      for (int i = 0; i < N; ++i) g[k].at[i] *= kept * scale.at[i];
      store<N>(at.dbranch + first + column, g[k]);
      if (at.y == nullptr) continue;
      const auto gain = load<N>(norm.weight + column);
      const auto shift = load<N>(norm.bias + column);
#pragma unroll
      for (int i = 0; i < N; ++i) normal[k].at[i] = normal[k].at[i] * gain.at[i] + shift.at[i];
      store<N>(at.y + first + column, normal[k]);
    }
  }
  if (partial == nullptr) return;
  A* const own = partial + static_cast<int64_t>(blockIdx.x) * 3 * columns;
  add_warps<N, K>(dscale, columns, own);
  add_warps<N, K>(dgain, columns, own + columns);
  add_warps<N, K>(dshift, columns, own + 2 * columns);
}

// dx, dbranch and y alone, for any width.
template <typename A, typename B, typename Y>
__global__ void __launch_bounds__(kWarps* kWarpSize)
    backward_again_kernel(int64_t rows, int64_t columns, const __grid_constant__ Gradients<A, B, Y> at,
                          const __grid_constant__ Residual<A, B> residual,
                          const __grid_constant__ Norm<A> norm) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (row >= rows) return;
  const int64_t first = row * columns;
  const A m = norm.mean[row];
  const A s = norm.rstd[row];
  const A kept = residual.kept(row);
  A sum_g = 0;
  A sum_gx = 0;
  for (int64_t c = lane; c < columns; c += kWarpSize) {
    const A g = static_cast<A>(at.dy[first + c]) * norm.weight[c];
    sum_g += g;
    sum_gx += g * ((at.stream[first + c] - m) * s);
  }
  const A mean_g = over_warp<Sum>(sum_g) / static_cast<A>(columns);
  const A mean_gx = over_warp<Sum>(sum_gx) / static_cast<A>(columns);
  for (int64_t c = lane; c < columns; c += kWarpSize) {
    const A normal = (at.stream[first + c] - m) * s;
    const A arriving = at.dstream != nullptr ? at.dstream[first + c] : A(0);
    const A g = static_cast<A>(at.dy[first + c]) * norm.weight[c];
    const A dz = s * (g - mean_g - normal * mean_gx) + arriving;
    at.dx[first + c] = dz;
    at.dbranch[first + c] = B(kept * (residual.gamma != nullptr ? residual.gamma[c] : A(1)) * dz);
    if (at.y != nullptr) at.y[first + c] = Y(normal * norm.weight[c] + norm.bias[c]);
  }
}

// The sums over rows for the same widths, once dx is written.
template <typename A, typename B, typename Y>
struct ParameterSums {
  Gradients<A, B, Y> at;
  Residual<A, B> residual;
  Norm<A> norm;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, A (&sums)[3][N]) const {
    const int64_t place = row * residual.columns + column;
    const auto d = load<N>(at.dy + place);
    const auto in = load<N>(at.stream + place);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      sums[1][i] += d.at[i] * ((in.at[i] - norm.mean[row]) * norm.rstd[row]);
      sums[2][i] += d.at[i];
    }
    if (residual.branch == nullptr) return;
    const auto dz = load<N>(static_cast<const A*>(at.dx) + place);
    const auto by = load<N>(residual.branch + place);
    const A kept = residual.kept(row);
#pragma unroll
    for (int i = 0; i < N; ++i) sums[0][i] += kept * dz.at[i] * by.at[i];
  }
};

}  // namespace

void residual_norm_forward(const TensorView& x, const TensorView& branch, const TensorView& gamma,
                           const TensorView& keep, const TensorView& weight, const TensorView& bias,
                           double eps, const TensorView& stream, const TensorView& y, const TensorView& mean,
                           const TensorView& rstd) {
  constexpr auto op = "residual_norm";
  const int64_t rows = x.shape.rows();
  const int64_t columns = x.shape[2];
  if (rows == 0) return;
  check_rows(op, rows);
  dispatch_triple(branch.dtype, y.dtype, op, [&]<typename A, typename B, typename Y>(A, B, Y) {
    constexpr int N = kWidth<A, B>;
    const Residual<A, B> residual{x.data<A>(),    branch.data<B>(), gamma.data<A>(),
                                  keep.data<A>(), x.shape[1],       columns};
    const Norm<A> norm{weight.data<A>(), bias.data<A>(), mean.data<A>(), rstd.data<A>()};
    const bool wide = moves_by<N>(columns, residual.x, residual.branch, residual.gamma, norm.weight,
                                  norm.bias, stream.data<A>(), y.data<Y>());
    with_packs<N>(wide, columns, [&]<int K>(std::integral_constant<int, K>) {
      const auto run = [&](auto kernel) {
        launch(op, kernel, dim3(blocks_for(rows, kWarps)), dim3(kWarps * kWarpSize), 0, rows, columns,
               residual, norm, static_cast<A>(eps), stream.data<A>(), y.data<Y>());
      };
      if constexpr (K == 0)
        run(&forward_again_kernel<A, B, Y>);
      else
        run(&forward_kernel<N, K, A, B, Y>);
    });
  });
}

void residual_norm_backward(const TensorView& dy, const TensorView& dstream, const TensorView& stream,
                            const TensorView& branch, const TensorView& gamma, const TensorView& keep,
                            const TensorView& weight, const TensorView& bias, const TensorView& mean,
                            const TensorView& rstd, const TensorView& dx, const TensorView& dbranch,
                            const TensorView& dgamma, const TensorView& dweight, const TensorView& dbias,
                            bool accumulate, const TensorView& y) {
  constexpr auto op = "residual_norm_backward";
  const int64_t rows = stream.shape.rows();
  const int64_t columns = stream.shape[2];
  if (columns == 0) return;
  check_rows(op, rows);
  dispatch_triple(dbranch.dtype, dy.dtype, op, [&]<typename A, typename B, typename Y>(A, B, Y) {
    constexpr int N = kWidth<A, B>;
    const Residual<A, B> residual{nullptr,         dgamma ? branch.data<B>() : nullptr,
                                  gamma.data<A>(), keep.data<A>(),
                                  stream.shape[1], columns};
    const Norm<A> norm{weight.data<A>(), bias.data<A>(), mean.data<A>(), rstd.data<A>()};
    const Gradients<A, B, Y> at{dy.data<Y>(), dstream.data<A>(), stream.data<A>(),
                                dx.data<A>(), dbranch.data<B>(), y.data<Y>()};
    const SumTargets<A, 3> sums{{dgamma.data<A>(), dweight.data<A>(), dbias.data<A>()}};
    const bool wide = moves_by<N>(columns, at.dy, at.dstream, at.stream, at.dx, at.dbranch, at.y,
                                  residual.branch, residual.gamma, norm.weight, norm.bias);
    with_packs<N>(wide, columns, [&]<int K>(std::integral_constant<int, K>) {
      if constexpr (K == 0) {
        if (rows > 0)
          launch(op, &backward_again_kernel<A, B, Y>, dim3(blocks_for(rows, kWarps)),
                 dim3(kWarps * kWarpSize), 0, rows, columns, at, residual, norm);
        const ParameterSums<A, B, Y> body{at, residual, norm};
        if (dweight || dgamma) sum_over_tiles<N, 3, A>(op, rows, columns, wide, body, sums, accumulate);
      } else {
        const unsigned blocks = std::min(blocks_for(rows, kWarps), static_cast<unsigned>(2 * processors()));
        const bool summed = dweight || dgamma;
        const Scratch partial(sizeof(A) * 3 * blocks * static_cast<size_t>(columns));
        launch(op, &backward_kernel<N, K, A, B, Y>, dim3(blocks), dim3(kWarps * kWarpSize), 0, rows, columns,
               at, residual, norm, summed ? partial.as<A>() : nullptr);
        if (summed)
          finish_sums<A, 3>(op, partial.as<A>(), static_cast<int>(blocks), columns, sums, accumulate);
      }
    });
  });
}

}  // namespace cae::cuda
