// A block has a few columns and all their rows: it sums them, and comes back to them in its cache.
#include <cmath>

#include "cuda/dispatch.h"
#include "cuda/kernel.h"
#include "ops/batch_norm.h"

namespace cae::cuda {
namespace {

constexpr int kColumns = 16;
constexpr int kRows = 32;  // threads to a column

// Σ of the column's threads, along y; all get the same bits.
template <typename A>
__device__ inline A over_column(A value) {
  CAE_SHARED_ARRAY(A, parts, kRows * kColumns);
  __syncthreads();  // whoever still reads an earlier call's parts
  parts[threadIdx.y * kColumns + threadIdx.x] = value;
  __syncthreads();
  A sum = 0;
#pragma unroll
  for (int r = 0; r < kRows; ++r) sum += parts[r * kColumns + threadIdx.x];
  return sum;
}

template <typename T>
struct BatchNorm {
  const T* x;
  Acc<T>* running_mean;
  Acc<T>* running_variance;
  int32_t* batches;
  Acc<T> momentum, eps;
  bool training;
  T* y;
  Acc<T>* mean;
  Acc<T>* rstd;
};

template <typename T>
__global__ void __launch_bounds__(kRows* kColumns)
    batch_norm_kernel(int64_t rows, int64_t columns, const __grid_constant__ BatchNorm<T> n) {
  using A = Acc<T>;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const bool inside = column < columns;
  const int64_t end = inside ? rows : 0;
  const auto value = [&](int64_t row) { return static_cast<A>(n.x[row * columns + column]); };
  A mean = 0;
  A variance = 0;
  if (n.training) {
    for (int64_t r = threadIdx.y; r < end; r += kRows) mean += value(r);
    mean = over_column(mean) / static_cast<A>(rows);
    for (int64_t r = threadIdx.y; r < end; r += kRows) variance += (value(r) - mean) * (value(r) - mean);
    variance = over_column(variance) / static_cast<A>(rows);
  } else if (inside) {
    mean = n.running_mean[column];
    variance = n.running_variance[column];
  }
  const A rstd = A(1) / std::sqrt(variance + n.eps);
  for (int64_t r = threadIdx.y; r < end; r += kRows) n.y[r * columns + column] = T((value(r) - mean) * rstd);
  if (threadIdx.y != 0 || !inside) return;
  n.mean[column] = mean;
  n.rstd[column] = rstd;
  if (!n.training) return;
  const A unbiased = static_cast<A>(rows) / static_cast<A>(rows - 1);
  n.running_mean[column] += n.momentum * (mean - n.running_mean[column]);
  n.running_variance[column] += n.momentum * (variance * unbiased - n.running_variance[column]);
  if (column == 0) *n.batches += 1;
}

template <typename T>
__global__ void __launch_bounds__(kRows* kColumns)
    batch_norm_backward_kernel(int64_t rows, int64_t columns, const T* dy, const T* x, const Acc<T>* mean,
                               const Acc<T>* rstd, bool training, T* dx) {
  using A = Acc<T>;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const bool inside = column < columns;
  const int64_t end = inside ? rows : 0;
  const A m = inside ? mean[column] : A(0);
  const A s = inside ? rstd[column] : A(0);
  const auto gradient = [&](int64_t row) { return static_cast<A>(dy[row * columns + column]); };
  const auto normal = [&](int64_t row) { return (static_cast<A>(x[row * columns + column]) - m) * s; };
  A level = 0;
  A slope = 0;
  if (training) {
    for (int64_t r = threadIdx.y; r < end; r += kRows) {
      level += gradient(r);
      slope += gradient(r) * normal(r);
    }
    level = over_column(level) / static_cast<A>(rows);
    slope = over_column(slope) / static_cast<A>(rows);
  }
  for (int64_t r = threadIdx.y; r < end; r += kRows)
    dx[r * columns + column] = T(s * (gradient(r) - level - normal(r) * slope));
}

}  // namespace

void batch_norm_forward(const TensorView& x, const TensorView& running_mean,
                        const TensorView& running_variance, const TensorView& batches, double momentum,
                        double eps, bool training, const TensorView& y, const TensorView& mean,
                        const TensorView& rstd) {
  const int64_t columns = x.shape[1];
  dispatch_real(x.dtype, "batch_norm", [&]<typename T>(T) {
    using A = Acc<T>;
    const BatchNorm<T> n{x.data<T>(),
                         running_mean.data<A>(),
                         running_variance.data<A>(),
                         batches.data<int32_t>(),
                         static_cast<A>(momentum),
                         static_cast<A>(eps),
                         training,
                         y.data<T>(),
                         mean.data<A>(),
                         rstd.data<A>()};
    launch("batch_norm", &batch_norm_kernel<T>, dim3(blocks_for(columns, kColumns)), dim3(kColumns, kRows), 0,
           x.shape[0], columns, n);
  });
}

void batch_norm_backward(const TensorView& dy, const TensorView& x, const TensorView& mean,
                         const TensorView& rstd, bool training, const TensorView& dx) {
  const int64_t columns = x.shape[1];
  dispatch_real(x.dtype, "batch_norm_backward", [&]<typename T>(T) {
    using A = Acc<T>;
    launch("batch_norm_backward", &batch_norm_backward_kernel<T>, dim3(blocks_for(columns, kColumns)),
           dim3(kColumns, kRows), 0, x.shape[0], columns, dy.data<T>(), x.data<T>(), mean.data<A>(),
           rstd.data<A>(), training, dx.data<T>());
  });
}

}  // namespace cae::cuda
