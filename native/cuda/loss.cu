#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "ops/loss.h"

namespace cae::cuda {
namespace {

constexpr int kThreads = 256;  // of a block, which has one row

// One row's softmax cross-entropy: its loss, whether the largest logit is the label's, and the gradient. With
// K > 0 the row stays in registers, K packs a thread, and memory is read once; with K = 0 it is read again
// from the cache.
template <int N, int K, typename T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(int64_t columns, const T* logits, const int32_t* labels, Acc<T> share, T* dlogits,
                         Acc<T>* losses, Acc<T>* hits, Fault* fault) {
  using A = Acc<T>;
  const int64_t row = blockIdx.x;
  const T* in = logits + row * columns;
  T* out = dlogits + row * columns;
  const int64_t label = labels[row];
  const bool known = label >= 0 && label < columns;
  // Read before anybody overwrites it: the gradient may take the logits' place.
  const A wanted = known ? static_cast<A>(in[label]) : A(0);
  const int64_t step = static_cast<int64_t>(blockDim.x) * N;
  const int64_t start = static_cast<int64_t>(threadIdx.x) * N;

  Pack<A, N> own[K > 0 ? K : 1] = {};
  Found<A> best{static_cast<A>(-INFINITY), 0};
  const auto look = [&](const Pack<A, N>& pack, int64_t at) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (pack.at[i] > best.value) best = {pack.at[i], static_cast<int>(at + i)};
  };
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int64_t at = start + k * step;
      if (at >= columns) continue;
      own[k] = load<N>(in + at);
      look(own[k], at);
    }
  } else {
    for (int64_t at = start; at < columns; at += step) look(load<N>(in + at), at);
  }
  best = found_over_block(best);

  A sum = 0;
  const auto add = [&](const Pack<A, N>& pack) {
#pragma unroll
    for (int i = 0; i < N; ++i) sum += fast_exp(pack.at[i] - best.value);
  };
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (start + k * step < columns) add(own[k]);
  } else {
    for (int64_t at = start; at < columns; at += step) add(load<N>(in + at));
  }
  sum = over_block<Sum>(sum);

  const A factor = share / sum;
  const auto write = [&](Pack<A, N> pack, int64_t at) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      pack.at[i] = fast_exp(pack.at[i] - best.value) * factor - (at + i == label ? share : A(0));
    store<N>(out + at, pack);
  };
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (start + k * step < columns) write(own[k], start + k * step);
  } else {
    for (int64_t at = start; at < columns; at += step) write(load<N>(in + at), at);
  }
  if (threadIdx.x != 0) return;
  if (!known) report(fault, Fault::CrossEntropyLabel, label, row, columns);
  losses[row] = std::log(sum) + (best.value - wanted);
  hits[row] = best.index == label ? A(1) : A(0);
}

// body(std::integral_constant<int, K>): enough packs of N for the columns in a block's registers, or 0.
template <int N, typename Body>
void with_packs(int64_t columns, Body&& body) {
  if constexpr (N > 2) {
    constexpr int kPart = 8 / N;  // packs a thread to a part of 2048 columns
    if (columns <= 2048) return body(std::integral_constant<int, kPart>{});
    if (columns <= 8192) return body(std::integral_constant<int, 4 * kPart>{});
  }
  body(std::integral_constant<int, 0>{});
}

struct SquaredDifference {
  template <typename A>
  __device__ A operator()(A x, A target) const {
    return (x - target) * (x - target);
  }
};

template <typename A>
struct MseSlope {
  const A* dloss;
  A inverse;  // 1/n
  __device__ A operator()(int64_t, A x, A target) const { return A(2) * *dloss * inverse * (x - target); }
};

struct SmoothL1 {
  template <typename A>
  __device__ A operator()(A x, A target) const {
    const A d = x - target;
    const A size = d < 0 ? -d : d;
    return size < 1 ? d * d / 2 : size - A(0.5);
  }
};

struct SmoothL1Slope {
  double share;
  template <typename A>
  __device__ A operator()(int64_t, A x, A target) const {
    const A d = x - target;
    return (d < -1 ? A(-1) : (d > 1 ? A(1) : d)) * static_cast<A>(share);
  }
};

// KL = Σ p·log p + log V = E[z] − log Σe^z + log V, z = logit − top;  dKL/dz_c = p_c·(z_c − E[z])
template <typename T>
__global__ void __launch_bounds__(kThreads)
    kl_to_uniform_kernel(int64_t columns, const T* logits, Acc<T> scale, T* gradient, Acc<T>* losses) {
  using A = Acc<T>;
  const T* in = logits + blockIdx.x * columns;
  A top = static_cast<A>(-INFINITY);
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) top = Max{}(top, static_cast<A>(in[c]));
  top = over_block<Max>(top);
  A sum = 0;
  A weighted = 0;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) {
    const A z = static_cast<A>(in[c]) - top;
    sum += fast_exp(z);
    weighted += fast_exp(z) * z;
  }
  sum = over_block<Sum>(sum);
  const A mean = over_block<Sum>(weighted) / sum;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) {
    const A z = static_cast<A>(in[c]) - top;
    gradient[blockIdx.x * columns + c] = T(fast_exp(z) / sum * (z - mean) * scale);
  }
  if (threadIdx.x == 0) losses[blockIdx.x] = mean - std::log(sum) + std::log(static_cast<A>(columns));
}

}  // namespace

void cross_entropy_forward(const TensorView& logits, const TensorView& labels, const TensorView& loss,
                           const TensorView& accuracy, const TensorView& dlogits, double factor) {
  constexpr auto op = "cross_entropy";
  const int64_t rows = logits.shape[0];
  const int64_t columns = logits.shape[1];
  dispatch_real(logits.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    const Scratch of_rows(sizeof(A) * 2 * static_cast<size_t>(rows));
    A* const losses = of_rows.as<A>();
    const auto share = static_cast<A>(factor / static_cast<double>(rows));
    const bool wide = moves_by<kWidth<T>>(columns, logits.data<T>(), dlogits.data<T>());
    with_width<kWidth<T>>(wide, [&]<int N>(std::integral_constant<int, N>) {
      with_packs<N>(columns, [&]<int K>(std::integral_constant<int, K>) {
        if (rows > 0)
          launch(op, &cross_entropy_kernel<N, K, T>, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
                 columns, logits.data<T>(), labels.data<int32_t>(), share, dlogits.data<T>(), losses,
                 losses + rows, fault_of_device());
      });
    });
    finish_scalars(op, static_cast<const A*>(losses), rows, 1.0 / static_cast<double>(rows), loss.data<A>(),
                   accuracy.data<A>());
  });
}

void mse_forward(const TensorView& x, const TensorView& target, const TensorView& loss) {
  dispatch_reals(x.dtype, target.dtype, "mse", [&]<typename X, typename Y>(X, Y) {
    sum_elements("mse", x.numel(), 1.0 / static_cast<double>(x.numel()), loss.data<Acc<X>>(),
                 SquaredDifference{}, x.data<const X>(), target.data<const Y>());
  });
}

void mse_backward(const TensorView& dloss, const TensorView& x, const TensorView& target,
                  const TensorView& dx) {
  dispatch_reals(x.dtype, target.dtype, "mse_backward", [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    const MseSlope<A> slope{dloss.data<A>(), static_cast<A>(1.0 / static_cast<double>(x.numel()))};
    map_elements("mse_backward", x.numel(), dx.data<X>(), slope, x.data<const X>(), target.data<const Y>());
  });
}

void smooth_l1_forward(const TensorView& x, const TensorView& target, const TensorView& loss,
                       const TensorView& gradient) {
  dispatch_real(x.dtype, "smooth_l1", [&]<typename T>(T) {
    const double share = 1.0 / static_cast<double>(x.numel());
    sum_elements("smooth_l1", x.numel(), share, loss.data<Acc<T>>(), SmoothL1{}, x.data<const T>(),
                 target.data<const T>());
    map_elements("smooth_l1", x.numel(), gradient.data<T>(), SmoothL1Slope{share}, x.data<const T>(),
                 target.data<const T>());
  });
}

void kl_to_uniform_forward(const TensorView& logits, double factor, const TensorView& loss,
                           const TensorView& gradient) {
  constexpr auto op = "kl_to_uniform";
  const int64_t rows = logits.shape.rows();
  dispatch_real(logits.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    const Scratch losses(sizeof(A) * static_cast<size_t>(rows));
    if (rows > 0)
      launch(op, &kl_to_uniform_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
             logits.shape[-1], logits.data<T>(), static_cast<A>(factor), gradient.data<T>(), losses.as<A>());
    finish_scalars(op, losses.as<const A>(), rows, factor, loss.data<A>());
  });
}

}  // namespace cae::cuda
