#include "core/draws.h"
#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "cuda/tile.h"
#include "ops/vision.h"

namespace cae::cuda {
namespace {

constexpr int kThreads = 256;  // of a block that has one row

struct Relu {
  template <typename A>
  __device__ A operator()(int64_t, A v) const {
    return v < 0 ? A(0) : v;  // a NaN stays
  }
};
struct ReluSlope {
  template <typename A>
  __device__ A operator()(int64_t, A d, A v) const {
    return v <= 0 ? A(0) : d;
  }
};
struct Sigmoid {
  template <typename A>
  __device__ A operator()(int64_t, A v) const {
    return 1 / (1 + fast_exp(-v));
  }
};
struct SigmoidSlope {
  template <typename A>
  __device__ A operator()(int64_t, A d, A v) const {
    return d * v * (1 - v);
  }
};

// Where the 2×2 square of pixel `row` of [B,H,W] begins in [B,2H,2W], in pixels.
__device__ inline int64_t square_of(int64_t row, int64_t width) {
  return 4 * width * quotient(row, width) + 2 * remainder_of(row, width);
}

template <typename T>
struct MaxPool2 {
  const T* x;
  T* y;
  int64_t width, channels;  // of y
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const T* upper = x + square_of(row, width) * channels + column;
    const T* lower = upper + 2 * width * channels;
    const auto a = load<N>(upper);
    const auto b = load<N>(upper + channels);
    const auto c = load<N>(lower);
    auto d = load<N>(lower + channels);
#pragma unroll
    for (int i = 0; i < N; ++i) d.at[i] = first_of(first_of(a.at[i], b.at[i]), first_of(c.at[i], d.at[i]));
    store<N>(y + row * channels + column, d);
  }
};

template <typename T>
struct MaxPool2Backward {
  const T* dy;
  const T* x;
  T* dx;
  int64_t width, channels;  // of dy
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const int64_t at = square_of(row, width) * channels + column;
    const int64_t places[4] = {0, channels, 2 * width * channels, (2 * width + 1) * channels};
    const auto d = load<N>(dy + row * channels + column);
    Pack<Acc<T>, N> value[4];
#pragma unroll
    for (int p = 0; p < 4; ++p) value[p] = load<N>(x + at + places[p]);
    Pack<Acc<T>, N> out[4] = {};
#pragma unroll
    for (int i = 0; i < N; ++i) {
      int best = 0;
      Acc<T> top = value[0].at[i];
#pragma unroll
      for (int p = 1; p < 4; ++p)
        if (value[p].at[i] > top || std::isnan(value[p].at[i])) {  // torch's last NaN
          best = p;
          top = value[p].at[i];
        }
#pragma unroll
      for (int p = 0; p < 4; ++p) out[p].at[i] = best == p ? d.at[i] : Acc<T>(0);
    }
#pragma unroll
    for (int p = 0; p < 4; ++p) store<N>(dx + at + places[p], out[p]);
  }
};

template <typename T>
struct Upsample2 {
  const T* x;
  T* y;
  int64_t width, channels;  // of x
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const auto value = load<N>(x + row * channels + column);
    T* upper = y + square_of(row, width) * channels + column;
    T* lower = upper + 2 * width * channels;
    store<N>(upper, value);
    store<N>(upper + channels, value);
    store<N>(lower, value);
    store<N>(lower + channels, value);
  }
};

template <typename T>
struct Upsample2Backward {
  const T* dy;
  T* dx;
  int64_t width, channels;  // of dx
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const T* upper = dy + square_of(row, width) * channels + column;
    const T* lower = upper + 2 * width * channels;
    auto sum = load<N>(upper);
    const auto b = load<N>(upper + channels);
    const auto c = load<N>(lower);
    const auto d = load<N>(lower + channels);
#pragma unroll
    for (int i = 0; i < N; ++i) sum.at[i] = sum.at[i] + b.at[i] + c.at[i] + d.at[i];
    store<N>(dx + row * channels + column, sum);
  }
};

template <int N, typename T>
__global__ void __launch_bounds__(kThreads) argmax_kernel(int64_t columns, const T* x, int32_t* y) {
  const T* in = x + blockIdx.x * columns;
  Found<Acc<T>> best{static_cast<Acc<T>>(-INFINITY), 0};
  for (int64_t at = static_cast<int64_t>(threadIdx.x) * N; at < columns; at += kThreads * N) {
    const auto pack = load<N>(in + at);
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (comes_before(pack.at[i], best.value)) best = {pack.at[i], static_cast<int>(at + i)};
  }
  best = found_over_block(best);
  if (threadIdx.x == 0) y[blockIdx.x] = best.index;
}

// softmax((logits + noise)/temperature) of a row; `room` holds its numbers between the passes.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    gumbel_softmax_kernel(int64_t columns, const T* logits, const Acc<T>* noise, Acc<T> temperature,
                          GumbelDraw draw, Acc<T>* room, T* y) {
  using A = Acc<T>;
  const int64_t start = blockIdx.x * columns;
  A* const z = room != nullptr ? room + start : shared_memory<A>();
  A top = static_cast<A>(-INFINITY);
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    const A g = noise != nullptr ? noise[start + c] : static_cast<A>(draw(static_cast<uint64_t>(start + c)));
    z[c] = (static_cast<A>(logits[start + c]) + g) / temperature;
    top = Max{}(top, z[c]);
  }
  top = over_block<Max>(top);
  A sum = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    z[c] = fast_exp(z[c] - top);
    sum += z[c];
  }
  sum = over_block<Sum>(sum);
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) y[start + c] = T(z[c] / sum);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gumbel_softmax_backward_kernel(int64_t columns, const T* dy, const T* y, Acc<T> inverse, T* dlogits) {
  using A = Acc<T>;
  const int64_t start = blockIdx.x * columns;
  A dot = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads)
    dot += static_cast<A>(dy[start + c]) * static_cast<A>(y[start + c]);
  dot = over_block<Sum>(dot);
  for (int64_t c = threadIdx.x; c < columns; c += kThreads)
    dlogits[start + c] = T(static_cast<A>(y[start + c]) * (static_cast<A>(dy[start + c]) - dot) * inverse);
}

}  // namespace

void relu_forward(const TensorView& x, const TensorView& y) {
  dispatch_real(x.dtype, "relu", [&]<typename T>(T) {
    map_elements("relu", y.numel(), y.data<T>(), Relu{}, x.data<const T>());
  });
}

void relu_backward(const TensorView& dy, const TensorView& y, const TensorView& dx) {
  dispatch_real(y.dtype, "relu_backward", [&]<typename T>(T) {
    map_elements("relu_backward", y.numel(), dx.data<T>(), ReluSlope{}, dy.data<const T>(),
                 y.data<const T>());
  });
}

void sigmoid_forward(const TensorView& x, const TensorView& y) {
  dispatch_real(x.dtype, "sigmoid", [&]<typename T>(T) {
    map_elements("sigmoid", y.numel(), y.data<T>(), Sigmoid{}, x.data<const T>());
  });
}

void sigmoid_backward(const TensorView& dy, const TensorView& y, const TensorView& dx) {
  dispatch_real(y.dtype, "sigmoid_backward", [&]<typename T>(T) {
    map_elements("sigmoid_backward", y.numel(), dx.data<T>(), SigmoidSlope{}, dy.data<const T>(),
                 y.data<const T>());
  });
}

void max_pool2_forward(const TensorView& x, const TensorView& y) {
  dispatch_real(x.dtype, "max_pool2", [&]<typename T>(T) {
    const MaxPool2<T> body{x.data<T>(), y.data<T>(), y.shape[2], y.shape[3]};
    const bool wide = moves_by<kWidth<T>>(body.channels, body.x, body.y);
    over_tiles<kWidth<T>>("max_pool2", y.shape.rows(), body.channels, wide, body);
  });
}

void max_pool2_backward(const TensorView& dy, const TensorView& x, const TensorView& dx) {
  dispatch_real(x.dtype, "max_pool2_backward", [&]<typename T>(T) {
    const MaxPool2Backward<T> body{dy.data<T>(), x.data<T>(), dx.data<T>(), dy.shape[2], dy.shape[3]};
    const bool wide = moves_by<kWidth<T>>(body.channels, body.dy, body.x, body.dx);
    over_tiles<kWidth<T>>("max_pool2_backward", dy.shape.rows(), body.channels, wide, body);
  });
}

void upsample2_forward(const TensorView& x, const TensorView& y) {
  dispatch_real(x.dtype, "upsample2", [&]<typename T>(T) {
    const Upsample2<T> body{x.data<T>(), y.data<T>(), x.shape[2], x.shape[3]};
    const bool wide = moves_by<kWidth<T>>(body.channels, body.x, body.y);
    over_tiles<kWidth<T>>("upsample2", x.shape.rows(), body.channels, wide, body);
  });
}

void upsample2_backward(const TensorView& dy, const TensorView& dx) {
  dispatch_real(dy.dtype, "upsample2_backward", [&]<typename T>(T) {
    const Upsample2Backward<T> body{dy.data<T>(), dx.data<T>(), dx.shape[2], dx.shape[3]};
    const bool wide = moves_by<kWidth<T>>(body.channels, body.dy, body.dx);
    over_tiles<kWidth<T>>("upsample2_backward", dx.shape.rows(), body.channels, wide, body);
  });
}

void argmax_forward(const TensorView& x, const TensorView& y) {
  const int64_t columns = x.shape[-1];
  if (y.numel() == 0) return;
  dispatch_real(x.dtype, "argmax", [&]<typename T>(T) {
    with_width<kWidth<T>>(moves_by<kWidth<T>>(columns, x.data<T>()),
                          [&]<int N>(std::integral_constant<int, N>) {
                            launch("argmax", &argmax_kernel<N, T>, dim3(static_cast<unsigned>(y.numel())),
                                   dim3(kThreads), 0, columns, x.data<T>(), y.data<int32_t>());
                          });
  });
}

void gumbel_softmax_forward(const TensorView& logits, const TensorView& noise, double temperature,
                            double seed, int64_t stream, int64_t step, const TensorView& y) {
  const int64_t rows = logits.shape.rows();
  const int64_t columns = logits.shape[-1];
  if (rows == 0) return;
  const GumbelDraw draw{
      {static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), static_cast<uint32_t>(step)}};
  dispatch_real(logits.dtype, "gumbel_softmax", [&]<typename T>(T) {
    using A = Acc<T>;
    const size_t row_bytes = sizeof(A) * static_cast<size_t>(columns);
    const bool fits = row_bytes <= size_t{40} << 10;  // of the 48 KiB that every block may have
    const Scratch room(fits ? 0 : row_bytes * static_cast<size_t>(rows));
    launch("gumbel_softmax", &gumbel_softmax_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(kThreads),
           fits ? row_bytes : 0, columns, logits.data<T>(), noise.data<A>(), static_cast<A>(temperature),
           draw, fits ? nullptr : room.as<A>(), y.data<T>());
  });
}

void gumbel_softmax_backward(const TensorView& dy, const TensorView& y, double temperature,
                             const TensorView& dlogits) {
  const int64_t rows = y.shape.rows();
  if (rows == 0) return;
  dispatch_real(y.dtype, "gumbel_softmax_backward", [&]<typename T>(T) {
    launch("gumbel_softmax_backward", &gumbel_softmax_backward_kernel<T>, dim3(static_cast<unsigned>(rows)),
           dim3(kThreads), 0, y.shape[-1], dy.data<T>(), y.data<T>(), static_cast<Acc<T>>(1 / temperature),
           dlogits.data<T>());
  });
}

}  // namespace cae::cuda
