#include "core/draws.h"
#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "cuda/tile.h"
#include "ops/pointwise.h"

namespace cae::cuda {
namespace {

template <typename A>
__device__ inline A normal_cdf(A z) {
  return A(0.5) * (A(1) + std::erf(z * A(0.70710678118654752440)));
}

template <typename A>
__device__ inline A normal_density(A z) {
  return A(0.39894228040143267794) * fast_exp(A(-0.5) * z * z);
}

// N values of a vector over the columns, or zeros without one.
template <int N, typename A>
__device__ inline Pack<A, N> columns_of(const A* vector, int64_t column) {
  if (vector != nullptr) return load<N>(vector + column);
  return {};
}

template <typename T>
struct GeluForward {
  using A = Acc<T>;
  const T* x;
  const A* bias;
  T* y;
  int64_t columns;
  template <int N>
  __device__ Pack<A, N> prepare(int64_t column) const {
    return columns_of<N>(bias, column);
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, const Pack<A, N>& shift, float (&)[1][N]) const {
    auto z = load<N>(x + row * columns + column);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      z.at[i] += shift.at[i];
      z.at[i] *= normal_cdf(z.at[i]);
    }
    store<N>(y + row * columns + column, z);
  }
};

template <typename T>
struct GeluBackward {
  using A = Acc<T>;
  const T* dy;
  const T* x;
  const A* bias;
  T* dx;
  T* y;  // the forward result again, or null
  int64_t columns;
  template <int N>
  __device__ Pack<A, N> prepare(int64_t column) const {
    return columns_of<N>(bias, column);
  }
  template <int N, typename S>
  __device__ void row(int64_t row, int64_t column, const Pack<A, N>& shift, S (&sums)[1][N]) const {
    auto z = load<N>(x + row * columns + column);
    const auto d = load<N>(dy + row * columns + column);
    Pack<A, N> value;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A at = z.at[i] + shift.at[i];
      const A cdf = normal_cdf(at);
      value.at[i] = at * cdf;
      z.at[i] = d.at[i] * (cdf + at * normal_density(at));
      sums[0][i] += static_cast<S>(static_cast<A>(T(z.at[i])));  // what is stored is what is summed
    }
    store<N>(dx + row * columns + column, z);
    if (y != nullptr) store<N>(y + row * columns + column, value);
  }
};

struct Weighted {
  double alpha, beta;
  template <typename A>
  __device__ A operator()(int64_t, A a, A b) const {
    return static_cast<A>(alpha) * a + static_cast<A>(beta) * b;
  }
};

template <typename A>
struct ScaleBy {
  const A* factor;
  __device__ A operator()(int64_t, A x) const { return *factor * x; }
};

struct Identity {
  template <typename A>
  __device__ A operator()(A x) const {
    return x;
  }
};

template <typename Draw>
struct Drawn {
  Draw draw;
  __device__ auto operator()(int64_t index) const { return draw(static_cast<uint64_t>(index)); }
};

// One value as another dtype: through float where a 16-bit type is on either side, as the CPU does.
template <typename Y, typename X>
__device__ inline Y cast_value(X x) {
  constexpr bool narrow =
      std::is_same_v<X, BF16> || std::is_same_v<X, F16> || std::is_same_v<Y, BF16> || std::is_same_v<Y, F16>;
  if constexpr (std::is_same_v<X, Y>)
    return x;
  else
    return static_cast<Y>(static_cast<std::conditional_t<narrow, float, X>>(x));
}

template <int N, typename X, typename Y>
__global__ void __launch_bounds__(kElementThreads) cast_kernel(int64_t n, const X* x, Y* y) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  const int64_t whole = n / N;
  if (thread < whole) {
    const auto in = *reinterpret_cast<const Pack<X, N>*>(x + thread * N);
    Pack<Y, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) out.at[i] = cast_value<Y>(in.at[i]);
    *reinterpret_cast<Pack<Y, N>*>(y + thread * N) = out;
    return;
  }
  const int64_t at = whole * N + (thread - whole);
  if (at < n) y[at] = cast_value<Y>(x[at]);
}

template <typename T>
__global__ void __launch_bounds__(kElementThreads) fill_kernel(int64_t n, T* y, T value) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at < n) y[at] = value;
}

}  // namespace

void gelu_forward(const TensorView& x, const TensorView& bias, const TensorView& y) {
  const int64_t columns = x.shape[-1];
  dispatch_real(x.dtype, "gelu", [&]<typename T>(T) {
    const GeluForward<T> body{x.data<T>(), bias.data<Acc<T>>(), y.data<T>(), columns};
    const bool wide = moves_by<kWidth<T>>(columns, body.x, body.bias, body.y);
    over_tiles<kWidth<T>>("gelu", x.shape.rows(), columns, wide, body);
  });
}

void gelu_backward(const TensorView& dy, const TensorView& x, const TensorView& bias, const TensorView& dx,
                   const TensorView& dbias, bool accumulate, const TensorView& y) {
  const int64_t rows = x.shape.rows();
  const int64_t columns = x.shape[-1];
  constexpr auto op = "gelu_backward";
  dispatch_real(x.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    const GeluBackward<T> body{dy.data<T>(), x.data<T>(), bias.data<A>(), dx.data<T>(), y.data<T>(), columns};
    const bool wide = moves_by<kWidth<T>>(columns, body.dy, body.x, body.bias, body.dx, body.y);
    if (dbias)
      sum_over_tiles<kWidth<T>, 1, A>(op, rows, columns, wide, body, {{dbias.data<A>()}}, accumulate);
    else
      over_tiles<kWidth<T>>(op, rows, columns, wide, body);
  });
}

void cast_forward(const TensorView& x, const TensorView& y) {
  dispatch_any(x.dtype, [&]<typename X>(X) {
    dispatch_any(y.dtype, [&]<typename Y>(Y) {
      constexpr int kFull = 16 / static_cast<int>(std::max(sizeof(X), sizeof(Y)));
      const int64_t n = x.numel();
      if (n == 0) return;
      with_width<kFull>(moves_by<1>(n, x.data<X>(), y.data<Y>()), [&]<int N>(std::integral_constant<int, N>) {
        launch("cast", &cast_kernel<N, X, Y>, dim3(blocks_for(n / N + n % N, kElementThreads)),
               dim3(kElementThreads), 0, n, x.data<X>(), y.data<Y>());
      });
    });
  });
}

void add_forward(const TensorView& a, const TensorView& b, double alpha, double beta, const TensorView& y) {
  dispatch_real(a.dtype, "add", [&]<typename T>(T) {
    map_elements("add", y.numel(), y.data<T>(), Weighted{alpha, beta}, a.data<const T>(), b.data<const T>());
  });
}

void scale_by_forward(const TensorView& x, const TensorView& factor, const TensorView& y) {
  dispatch_real(x.dtype, "scale_by", [&]<typename T>(T) {
    map_elements("scale_by", y.numel(), y.data<T>(), ScaleBy<Acc<T>>{factor.data<Acc<T>>()},
                 x.data<const T>());
  });
}

void sum_forward(const TensorView& x, double factor, const TensorView& y) {
  dispatch_real(x.dtype, "sum", [&]<typename T>(T) {
    sum_elements("sum", x.numel(), factor, y.data<Acc<T>>(), Identity{}, x.data<const T>());
  });
}

void fill_constant(const TensorView& y, double value) {
  dispatch_any(y.dtype, [&]<typename T>(T) {
    T item{};
    if constexpr (std::is_same_v<T, BF16> || std::is_same_v<T, F16>)
      item = T(static_cast<float>(value));
    else
      item = static_cast<T>(value);
    if (y.numel() > 0)
      launch("fill", &fill_kernel<T>, dim3(blocks_for(y.numel(), kElementThreads)), dim3(kElementThreads), 0,
             y.numel(), y.data<T>(), item);
  });
}

void fill_uniform(const TensorView& y, double low, double high, double seed, int64_t stream) {
  const UniformDraw draw{{static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0}, low, high};
  dispatch_real(y.dtype, "uniform", [&]<typename T>(T) {
    map_elements("uniform", y.numel(), y.data<T>(), Drawn<UniformDraw>{draw});
  });
}

void fill_truncated_normal(const TensorView& y, double deviation, double cut, double seed, int64_t stream) {
  const TruncatedNormalDraw draw({static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0}, deviation,
                                 cut);
  dispatch_real(y.dtype, "truncated_normal", [&]<typename T>(T) {
    map_elements("truncated_normal", y.numel(), y.data<T>(), Drawn<TruncatedNormalDraw>{draw});
  });
}

}  // namespace cae::cuda
