// Columns are shared out among threads: each sums its own over the batch, in order.
#include "ops/batch_norm.h"

#include <cmath>
#include <vector>

#include "cpu/column_sum.h"
#include "cpu/thread_errors.h"

namespace cae::cpu {
namespace {

// Calls body(begin, end) with each thread's range of columns.
template <typename Body>
void over_columns(int64_t columns, Body&& body) {
  ThreadErrors errors;
#pragma omp parallel
  {
    const RowRange range = rows_of_thread(columns, omp_get_thread_num(), omp_get_num_threads());
    if (range.begin < range.end) errors.keep([&] { body(range.begin, range.end); });
  }
  errors.rethrow();
}

// Means over the rows of value(row, column), for the columns [begin, end).
template <typename A, typename Value>
std::vector<A> column_means(int64_t rows, int64_t begin, int64_t end, Value&& value) {
  std::vector<A> means(static_cast<size_t>(end - begin));
  for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (int64_t c = begin; c < end; ++c) means[c - begin] += value(r, c);
  }
  for (A& m : means) m /= static_cast<A>(rows);
  return means;
}

}  // namespace

void batch_norm_forward(const TensorView& x, const TensorView& running_mean,
                        const TensorView& running_variance, const TensorView& batches, double momentum,
                        double eps, bool training, const TensorView& y, const TensorView& mean,
                        const TensorView& rstd) {
  const int64_t rows = x.shape[0];
  const int64_t columns = x.shape[1];
  if (training) *batches.data<int32_t>() += 1;
  dispatch_float(x.dtype, "batch_norm", [&]<typename T>(T) {
    using A = Acc<T>;
    const T* in = x.data<T>();
    A* m = mean.data<A>();
    A* s = rstd.data<A>();
    over_columns(columns, [&](int64_t begin, int64_t end) {
      const A step = static_cast<A>(momentum);
      const A unbiased = static_cast<A>(rows) / static_cast<A>(rows - 1);
      std::vector<A> means;
      std::vector<A> variances;
      if (training) {
        means = column_means<A>(rows, begin, end,
                                [&](int64_t r, int64_t c) { return load(in[r * columns + c]); });
        variances = column_means<A>(rows, begin, end, [&](int64_t r, int64_t c) {
          const A d = load(in[r * columns + c]) - means[c - begin];
          return d * d;
        });
      }
      for (int64_t c = begin; c < end; ++c) {
        A& kept_mean = running_mean.data<A>()[c];
        A& kept_variance = running_variance.data<A>()[c];
        m[c] = training ? means[c - begin] : kept_mean;
        const A variance = training ? variances[c - begin] : kept_variance;
        s[c] = 1 / std::sqrt(variance + static_cast<A>(eps));
        if (!training) continue;
        kept_mean += step * (m[c] - kept_mean);
        kept_variance += step * (variance * unbiased - kept_variance);
      }
      for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
        for (int64_t c = begin; c < end; ++c)
          y.data<T>()[r * columns + c] = store<T>((load(in[r * columns + c]) - m[c]) * s[c]);
      }
    });
  });
}

void batch_norm_backward(const TensorView& dy, const TensorView& x, const TensorView& mean,
                         const TensorView& rstd, bool training, const TensorView& dx) {
  const int64_t rows = x.shape[0];
  const int64_t columns = x.shape[1];
  dispatch_float(x.dtype, "batch_norm_backward", [&]<typename T>(T) {
    using A = Acc<T>;
    const A* m = mean.data<A>();
    const A* s = rstd.data<A>();
    const auto gradient = [&](int64_t r, int64_t c) { return load(dy.data<T>()[r * columns + c]); };
    const auto normal = [&](int64_t r, int64_t c) {
      return (load(x.data<T>()[r * columns + c]) - m[c]) * s[c];
    };
    over_columns(columns, [&](int64_t begin, int64_t end) {
      std::vector<A> means(static_cast<size_t>(end - begin));
      std::vector<A> slopes(static_cast<size_t>(end - begin));
      if (training) {
        means = column_means<A>(rows, begin, end, gradient);
        slopes = column_means<A>(rows, begin, end,
                                 [&](int64_t r, int64_t c) { return gradient(r, c) * normal(r, c); });
      }
      for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
        for (int64_t c = begin; c < end; ++c)
          dx.data<T>()[r * columns + c] =
              store<T>(s[c] * (gradient(r, c) - means[c - begin] - normal(r, c) * slopes[c - begin]));
      }
    });
  });
}

}  // namespace cae::cpu
