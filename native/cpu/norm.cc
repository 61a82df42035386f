#include "ops/norm.h"

#include <cmath>

#include "cpu/column_sum.h"
#include "cpu/dispatch_pair.h"

namespace cae::cpu {
void layer_norm_forward(const TensorView& x, const TensorView& weight, const TensorView& bias, double eps,
                        const TensorView& y, const TensorView& mean, const TensorView& rstd) {
  const int64_t rows = x.shape.rows();
  const int64_t columns = x.shape[-1];
  dispatch_pair(x.dtype, y.dtype, "layer_norm", [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    const A* gain = weight.data<A>();
    const A* shift = bias.data<A>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const X* in = x.data<X>() + r * columns;
      Y* out = y.data<Y>() + r * columns;
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < columns; ++c) sum += load(in[c]);
      const A m = sum / static_cast<A>(columns);
      A squares = 0;
#pragma omp simd reduction(+ : squares)
      for (int64_t c = 0; c < columns; ++c) {
        const A d = load(in[c]) - m;
        squares += d * d;
      }
      const A s = 1 / std::sqrt(squares / static_cast<A>(columns) + static_cast<A>(eps));
      mean.data<A>()[r] = m;
      rstd.data<A>()[r] = s;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) out[c] = store<Y>((load(in[c]) - m) * s * gain[c] + shift[c]);
    }
  });
}

void layer_norm_backward(const TensorView& dy, const TensorView& x, const TensorView& weight,
                         const TensorView& bias, const TensorView& mean, const TensorView& rstd,
                         const TensorView& dx, const TensorView& dweight, const TensorView& dbias,
                         bool accumulate, const TensorView& y) {
  const int64_t rows = x.shape.rows();
  const int64_t columns = x.shape[-1];
  dispatch_pair(x.dtype, dy.dtype, "layer_norm_backward", [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    const A* gain = weight.data<A>();
    const A* shift = bias.data<A>();
    A* sums[] = {dweight.data<A>(), dbias.data<A>()};
    // dx = rstd·(g − mean(g) − x̂·mean(g·x̂)), g = dy·weight
    sum_over_rows<A>(rows, columns, 2, sums, accumulate, [&](int64_t r, A* partial) {
      const X* in = x.data<X>() + r * columns;
      const Y* from = dy.data<Y>() + r * columns;
      X* out = dx.data<X>() + r * columns;
      A* dgain = partial;
      A* dshift = partial + columns;
      const A m = mean.data<A>()[r];
      const A s = rstd.data<A>()[r];
      A sum_g = 0;
      A sum_gx = 0;
#pragma omp simd reduction(+ : sum_g, sum_gx)
      for (int64_t c = 0; c < columns; ++c) {
        const A normalised = (load(in[c]) - m) * s;
        const A d = load(from[c]);
        dgain[c] += d * normalised;
        dshift[c] += d;
        sum_g += d * gain[c];
        sum_gx += d * gain[c] * normalised;
      }
      const A mean_g = sum_g / static_cast<A>(columns);
      const A mean_gx = sum_gx / static_cast<A>(columns);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) {
        const A normalised = (load(in[c]) - m) * s;
        out[c] = store<X>(s * (load(from[c]) * gain[c] - mean_g - normalised * mean_gx));
      }
      if (!y) return;
      Y* again = y.data<Y>() + r * columns;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) again[c] = store<Y>((load(in[c]) - m) * s * gain[c] + shift[c]);
    });
  });
}

}  // namespace cae::cpu
