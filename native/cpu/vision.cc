#include "ops/vision.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/draws.h"
#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

// y[i] = value(a[i], b[i]) for all elements of equally shaped tensors of one dtype.
template <typename Value>
void map(const char* op, const TensorView& a, const TensorView& b, const TensorView& y, Value&& value) {
  dispatch_float(a.dtype, op, [&]<typename T>(T) {
    const T* pa = a.data<T>();
    const T* pb = b.data<T>();
    T* out = y.data<T>();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < y.numel(); ++i) out[i] = store<T>(value(load(pa[i]), load(pb[i])));
  });
}

// The larger one, or the NaN of the two.
template <typename A>
CAE_INLINE A larger(A a, A b) {
  return b > a || std::isnan(b) ? b : a;
}

}  // namespace

void relu_forward(const TensorView& x, const TensorView& y) {
  map("relu", x, x, y, [](auto v, auto) { return v < 0 ? decltype(v)(0) : v; });  // a NaN stays
}

void relu_backward(const TensorView& dy, const TensorView& y, const TensorView& dx) {
  map("relu_backward", dy, y, dx, [](auto d, auto v) { return v <= 0 ? decltype(d)(0) : d; });
}

void sigmoid_forward(const TensorView& x, const TensorView& y) {
  map("sigmoid", x, x, y, [](auto v, auto) { return 1 / (1 + vexp(-v)); });
}

void sigmoid_backward(const TensorView& dy, const TensorView& y, const TensorView& dx) {
  map("sigmoid_backward", dy, y, dx, [](auto d, auto v) { return d * v * (1 - v); });
}

void max_pool2_forward(const TensorView& x, const TensorView& y) {
  const int64_t width = y.shape[2];
  const int64_t channels = y.shape[3];
  dispatch_float(x.dtype, "max_pool2", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < y.shape[0] * y.shape[1]; ++row)
      for (int64_t j = 0; j < width; ++j) {
        const T* upper = x.data<T>() + (2 * row * 2 * width + 2 * j) * channels;
        const T* lower = upper + 2 * width * channels;
        T* to = y.data<T>() + (row * width + j) * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          const auto a = larger(load(upper[c]), load(upper[channels + c]));
          const auto b = larger(load(lower[c]), load(lower[channels + c]));
          to[c] = store<T>(larger(a, b));
        }
      }
  });
}

void max_pool2_backward(const TensorView& dy, const TensorView& x, const TensorView& dx) {
  const int64_t width = dy.shape[2];
  const int64_t channels = dy.shape[3];
  dispatch_float(x.dtype, "max_pool2_backward", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < dy.shape[0] * dy.shape[1]; ++row)
      for (int64_t j = 0; j < width; ++j)
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t upper = (2 * row * 2 * width + 2 * j) * channels + c;
          const int64_t at[] = {upper, upper + channels, upper + 2 * width * channels,
                                upper + 2 * width * channels + channels};
          int64_t best = at[0];
          for (const int64_t i : at) {
            const auto value = load(x.data<T>()[i]);
            if (value > load(x.data<T>()[best]) || std::isnan(value)) best = i;  // torch's last NaN
            dx.data<T>()[i] = T(0);
          }
          dx.data<T>()[best] = dy.data<T>()[(row * width + j) * channels + c];
        }
  });
}

void upsample2_forward(const TensorView& x, const TensorView& y) {
  const int64_t width = x.shape[2];
  const int64_t channels = x.shape[3];
  dispatch_float(x.dtype, "upsample2", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < y.shape[0] * y.shape[1]; ++row)
      for (int64_t j = 0; j < 2 * width; ++j) {
        const T* from = x.data<T>() + ((row / 2) * width + j / 2) * channels;
        std::copy(from, from + channels, y.data<T>() + (row * 2 * width + j) * channels);
      }
  });
}

void upsample2_backward(const TensorView& dy, const TensorView& dx) {
  const int64_t width = dx.shape[2];
  const int64_t channels = dx.shape[3];
  dispatch_float(dy.dtype, "upsample2_backward", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < dx.shape[0] * dx.shape[1]; ++row)
      for (int64_t j = 0; j < width; ++j) {
        const T* upper = dy.data<T>() + (2 * row * 2 * width + 2 * j) * channels;
        const T* lower = upper + 2 * width * channels;
        T* to = dx.data<T>() + (row * width + j) * channels;
        for (int64_t c = 0; c < channels; ++c)
          to[c] = store<T>(load(upper[c]) + load(upper[channels + c]) + load(lower[c]) +
                           load(lower[channels + c]));
      }
  });
}

void argmax_forward(const TensorView& x, const TensorView& y) {
  const int64_t columns = x.shape[-1];
  dispatch_float(x.dtype, "argmax", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < y.numel(); ++row) {
      const T* in = x.data<T>() + row * columns;
      auto top = load(in[0]);
      int odd = 0;  // whether there is a NaN, which comes before any number
#pragma omp simd reduction(max : top) reduction(| : odd)
      for (int64_t c = 0; c < columns; ++c) {
        const auto value = load(in[c]);
        top = value > top ? value : top;
        odd |= static_cast<int>(std::isnan(value));
      }
      int64_t best = 0;
      while (best + 1 < columns && (odd != 0 ? !std::isnan(load(in[best])) : load(in[best]) != top)) ++best;
      y.data<int32_t>()[row] = static_cast<int32_t>(best);
    }
  });
}

void gumbel_softmax_forward(const TensorView& logits, const TensorView& noise, double temperature,
                            double seed, int64_t stream, int64_t step, const TensorView& y) {
  const int64_t columns = logits.shape[-1];
  const GumbelDraw draw{
      {static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), static_cast<uint32_t>(step)}};
  dispatch_float(logits.dtype, "gumbel_softmax", [&]<typename T>(T) {
    using A = Acc<T>;
    std::vector<A> rooms(static_cast<size_t>(columns * omp_get_max_threads()));
#pragma omp parallel
    {
      A* const room = rooms.data() + columns * omp_get_thread_num();
#pragma omp for schedule(static)
      for (int64_t row = 0; row < logits.shape.rows(); ++row) {
        const T* in = logits.data<T>() + row * columns;
        T* out = y.data<T>() + row * columns;
        A top = -INFINITY;
        for (int64_t c = 0; c < columns; ++c) {
          const int64_t i = row * columns + c;
          const A g = noise ? noise.data<A>()[i] : static_cast<A>(draw(static_cast<uint64_t>(i)));
          room[c] = (load(in[c]) + g) / static_cast<A>(temperature);
          top = std::max(top, room[c]);
        }
        A sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < columns; ++c) {
          room[c] = vexp(room[c] - top);
          sum += room[c];
        }
        for (int64_t c = 0; c < columns; ++c) out[c] = store<T>(room[c] / sum);
      }
    }
  });
}

void gumbel_softmax_backward(const TensorView& dy, const TensorView& y, double temperature,
                             const TensorView& dlogits) {
  const int64_t columns = y.shape[-1];
  dispatch_float(y.dtype, "gumbel_softmax_backward", [&]<typename T>(T) {
    using A = Acc<T>;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < y.shape.rows(); ++row) {
      const T* d = dy.data<T>() + row * columns;
      const T* p = y.data<T>() + row * columns;
      T* out = dlogits.data<T>() + row * columns;
      A dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t c = 0; c < columns; ++c) dot += load(d[c]) * load(p[c]);
      const A inverse = A(1) / static_cast<A>(temperature);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) out[c] = store<T>(load(p[c]) * (load(d[c]) - dot) * inverse);
    }
  });
}

}  // namespace cae::cpu
