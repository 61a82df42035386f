#include "ops/residual.h"

#include "core/draws.h"
#include "cpu/column_sum.h"
#include "cpu/dispatch_pair.h"

namespace cae::cpu {

void residual_forward(const TensorView& x, const TensorView& branch, const TensorView& gamma,
                      const TensorView& keep, const TensorView& y) {
  const int64_t rows = x.shape.rows();
  const int64_t tokens = x.shape[1];
  const int64_t columns = x.shape[2];
  dispatch_pair(x.dtype, branch.dtype, "residual", [&]<typename X, typename B>(X, B) {
    using A = Acc<X>;
    const A* scale = gamma.data<A>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const X* from = x.data<X>() + r * columns;
      const B* add = branch.data<B>() + r * columns;
      X* to = y.data<X>() + r * columns;
      const A k = keep ? keep.data<A>()[r / tokens] : A(1);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c)
        to[c] = store<X>(load(from[c]) + k * (scale ? scale[c] : A(1)) * load(add[c]));
    }
  });
}

void residual_backward(const TensorView& dy, const TensorView& branch, const TensorView& gamma,
                       const TensorView& keep, const TensorView& dbranch, const TensorView& dgamma,
                       bool accumulate) {
  const int64_t tokens = dy.shape[1];
  const int64_t columns = dy.shape[2];
  dispatch_pair(dy.dtype, dbranch.dtype, "residual_backward", [&]<typename X, typename B>(X, B) {
    using A = Acc<X>;
    const A* scale = gamma.data<A>();
    const auto keep_of = [&](int64_t row) { return keep ? keep.data<A>()[row / tokens] : A(1); };
    const auto branch_gradient = [&](int64_t row) {
      const X* from = dy.data<X>() + row * columns;
      B* to = dbranch.data<B>() + row * columns;
      const A k = keep_of(row);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) to[c] = store<B>(k * (scale ? scale[c] : A(1)) * load(from[c]));
    };
    if (!dgamma) {
#pragma omp parallel for schedule(static)
      for (int64_t row = 0; row < dy.shape.rows(); ++row) branch_gradient(row);
      return;
    }
    check(branch.dtype == dbranch.dtype, "residual_backward", "branch and its gradient differ in dtype");
    A* sums[] = {dgamma.data<A>()};
    sum_over_rows<A>(dy.shape.rows(), columns, 1, sums, accumulate, [&](int64_t row, A* partial) {
      branch_gradient(row);
      const X* from = dy.data<X>() + row * columns;
      const B* by = branch.data<B>() + row * columns;
      const A k = keep_of(row);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) partial[c] += k * load(from[c]) * load(by[c]);
    });
  });
}

void drop_path_draw(const TensorView& keep, double rate, double seed, int64_t stream,
                    const TensorView& step) {
  const DropPathDraw draw({static_cast<uint64_t>(seed), static_cast<uint32_t>(stream),
                           static_cast<uint32_t>(*step.data<const int32_t>())},
                          rate);
  dispatch_float(keep.dtype, "drop_path", [&]<typename T>(T) {
    for (int64_t b = 0; b < keep.numel(); ++b) keep.data<T>()[b] = T(draw(static_cast<uint64_t>(b)));
  });
}

}  // namespace cae::cpu
