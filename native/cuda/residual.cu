#include "core/draws.h"
#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "cuda/row_packs.h"
#include "ops/residual.h"

namespace cae::cuda {
namespace {

template <typename X, typename B>
struct ResidualForward {
  using A = Acc<X>;
  const X* x;
  const B* branch;
  const A* gamma;
  const A* keep;
  X* y;
  int64_t tokens, columns;
  template <int N>
  __device__ Pack<A, N> prepare(int64_t column) const {
    return load_or_ones<N>(gamma, column);
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, const Pack<A, N>& scale, float (&)[1][N]) const {
    auto sum = load<N>(x + row * columns + column);
    const auto add = load<N>(branch + row * columns + column);
    const A k = keep != nullptr ? keep[quotient(row, tokens)] : A(1);
#pragma unroll
    for (int i = 0; i < N; ++i) sum.at[i] += k * scale.at[i] * add.at[i];
    store<N>(y + row * columns + column, sum);
  }
};

template <typename X, typename B>
struct ResidualBackward {
  using A = Acc<X>;
  const X* dy;
  const B* branch;
  const A* gamma;
  const A* keep;
  B* dbranch;
  int64_t tokens, columns;
  template <int N>
  __device__ Pack<A, N> prepare(int64_t column) const {
    return load_or_ones<N>(gamma, column);
  }
  template <int N, typename S>
  __device__ void row(int64_t row, int64_t column, const Pack<A, N>& scale, S (&sums)[1][N]) const {
    const int64_t at = row * columns + column;
    auto d = load<N>(dy + at);
    const A k = keep != nullptr ? keep[quotient(row, tokens)] : A(1);
    if (branch != nullptr) {
      const auto by = load<N>(branch + at);
#pragma unroll
      for (int i = 0; i < N; ++i) sums[0][i] += static_cast<S>(k * d.at[i] * by.at[i]);
    }
#pragma unroll
    for (int i = 0; i < N; ++i) d.at[i] *= k * scale.at[i];
    store<N>(dbranch + at, d);
  }
};

struct DrawnFactor {
  DropPathDraw draw;
  const int32_t* step;
  __device__ float operator()(int64_t index) const {
    DropPathDraw own = draw;
    own.draw.step = static_cast<uint32_t>(*step);
    return own(static_cast<uint64_t>(index));
  }
};

}  // namespace

void residual_forward(const TensorView& x, const TensorView& branch, const TensorView& gamma,
                      const TensorView& keep, const TensorView& y) {
  const int64_t columns = x.shape[2];
  dispatch_reals(x.dtype, branch.dtype, "residual", [&]<typename X, typename B>(X, B) {
    using A = Acc<X>;
    const ResidualForward<X, B> body{x.data<X>(), branch.data<B>(), gamma.data<A>(), keep.data<A>(),
                                     y.data<X>(), x.shape[1],       columns};
    const bool wide = moves_by<kWidth<X, B>>(columns, body.x, body.branch, body.gamma, body.y);
    over_tiles<kWidth<X, B>>("residual", x.shape.rows(), columns, wide, body);
  });
}

void residual_backward(const TensorView& dy, const TensorView& branch, const TensorView& gamma,
                       const TensorView& keep, const TensorView& dbranch, const TensorView& dgamma,
                       bool accumulate) {
  constexpr auto op = "residual_backward";
  const int64_t rows = dy.shape.rows();
  const int64_t columns = dy.shape[2];
  if (dgamma) check(branch.dtype == dbranch.dtype, op, "branch and its gradient differ in dtype");
  dispatch_reals(dy.dtype, dbranch.dtype, op, [&]<typename X, typename B>(X, B) {
    using A = Acc<X>;
    const ResidualBackward<X, B> body{dy.data<X>(),
                                      dgamma ? branch.data<B>() : nullptr,
                                      gamma.data<A>(),
                                      keep.data<A>(),
                                      dbranch.data<B>(),
                                      dy.shape[1],
                                      columns};
    const bool wide = moves_by<kWidth<X, B>>(columns, body.dy, body.branch, body.gamma, body.dbranch);
    if (dgamma)
      sum_over_tiles<kWidth<X, B>, 1, A>(op, rows, columns, wide, body, {{dgamma.data<A>()}}, accumulate);
    else
      over_tiles<kWidth<X, B>>(op, rows, columns, wide, body);
  });
}

void drop_path_draw(const TensorView& keep, double rate, double seed, int64_t stream,
                    const TensorView& step) {
  const DropPathDraw draw({static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0}, rate);
  dispatch_real(keep.dtype, "drop_path", [&]<typename T>(T) {
    map_elements("drop_path", keep.numel(), keep.data<T>(), DrawnFactor{draw, step.data<const int32_t>()});
  });
}

}  // namespace cae::cuda
