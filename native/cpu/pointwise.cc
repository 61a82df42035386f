#include "ops/pointwise.h"

#include <cmath>
#include <numbers>

#include "core/draws.h"
#include "cpu/column_sum.h"
#include "cpu/gelu_rows.h"
#include "cpu/runs.h"

namespace cae::cpu {
namespace {

// body(row) for every row, on all threads.
template <typename Body>
void for_rows(int64_t rows, Body&& body) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; ++row) body(row);
}

// body(begin, end) for ranges that cover [0, n): the inner loop stays a plain one, which vectorises.
template <typename Body>
void for_ranges(int64_t n, Body&& body) {
  constexpr int64_t kChunk = 1 << 14;
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < n; begin += kChunk) body(begin, std::min(n, begin + kChunk));
}

}  // namespace

void gelu_forward(const TensorView& x, const TensorView& bias, const TensorView& y) {
  const int64_t columns = x.shape[-1];
  dispatch_float(x.dtype, "gelu", [&]<typename T>(T) {
    using A = Acc<T>;
    const A* shift = bias.data<A>();
    for_rows(x.shape.rows(), [&](int64_t row) {
      gelu_row(x.data<T>() + row * columns, shift, y.data<T>() + row * columns, columns);
    });
  });
}

void gelu_backward(const TensorView& dy, const TensorView& x, const TensorView& bias, const TensorView& dx,
                   const TensorView& dbias, bool accumulate, const TensorView& y) {
  const int64_t columns = x.shape[-1];
  dispatch_float(x.dtype, "gelu_backward", [&]<typename T>(T) {
    using A = Acc<T>;
    const A* shift = bias.data<A>();
    const auto row_gradient = [&](int64_t row) {
      gelu_backward_row<T>(dy.data<T>() + row * columns, x.data<T>() + row * columns, shift,
                           dx.data<T>() + row * columns, y ? y.data<T>() + row * columns : nullptr, columns);
    };
    if (!dbias) {
      for_rows(x.shape.rows(), row_gradient);
      return;
    }
    A* sums[] = {dbias.data<A>()};
    sum_over_rows<A>(x.shape.rows(), columns, 1, sums, accumulate, [&](int64_t row, A* partial) {
      row_gradient(row);
      const T* out = dx.data<T>() + row * columns;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) partial[c] += load(out[c]);
    });
  });
}

void cast_forward(const TensorView& x, const TensorView& y) {
  dispatch_any(x.dtype, [&]<typename X>(X) {
    dispatch_any(y.dtype, [&]<typename Y>(Y) {
      const X* in = x.data<X>();
      Y* out = y.data<Y>();
      for_ranges(x.numel(),
                 [&](int64_t begin, int64_t end) { convert_run(in + begin, out + begin, end - begin); });
    });
  });
}

void add_forward(const TensorView& a, const TensorView& b, double alpha, double beta, const TensorView& y) {
  dispatch_float(a.dtype, "add", [&]<typename T>(T) {
    using A = Acc<T>;
    const auto wa = static_cast<A>(alpha);
    const auto wb = static_cast<A>(beta);
    const T* pa = a.data<T>();
    const T* pb = b.data<T>();
    T* out = y.data<T>();
    for_ranges(a.numel(), [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) out[i] = store<T>(wa * load(pa[i]) + wb * load(pb[i]));
    });
  });
}

void scale_by_forward(const TensorView& x, const TensorView& factor, const TensorView& y) {
  dispatch_float(x.dtype, "scale_by", [&]<typename T>(T) {
    using A = Acc<T>;
    const A w = *factor.data<A>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_ranges(x.numel(), [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) out[i] = store<T>(w * load(in[i]));
    });
  });
}

void sum_forward(const TensorView& x, double factor, const TensorView& y) {
  dispatch_float(x.dtype, "sum", [&]<typename T>(T) {
    using A = Acc<T>;
    double total = 0;  // one thread, in order: the sums of a step are small
    const T* in = x.data<T>();
    for (int64_t i = 0; i < x.numel(); ++i) total += static_cast<double>(load(in[i]));
    *y.data<A>() = static_cast<A>(total * factor);
  });
}

void fill_constant(const TensorView& y, double value) {
  dispatch_any(y.dtype, [&]<typename T>(T) {
    T* out = y.data<T>();
    T item{};
    if constexpr (std::is_same_v<T, BF16> || std::is_same_v<T, F16>)
      item = T(static_cast<float>(value));
    else
      item = static_cast<T>(value);
    for_ranges(y.numel(), [&](int64_t begin, int64_t end) { std::fill(out + begin, out + end, item); });
  });
}

void fill_uniform(const TensorView& y, double low, double high, double seed, int64_t stream) {
  const UniformDraw draw{{static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0}, low, high};
  dispatch_float(y.dtype, "uniform", [&]<typename T>(T) {
    T* out = y.data<T>();
    for_ranges(y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = store<T>(static_cast<Acc<T>>(draw(static_cast<uint64_t>(i))));
    });
  });
}

void fill_truncated_normal(const TensorView& y, double deviation, double cut, double seed, int64_t stream) {
  const TruncatedNormalDraw draw({static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0}, deviation,
                                 cut);
  dispatch_float(y.dtype, "truncated_normal", [&]<typename T>(T) {
    T* out = y.data<T>();
    for_ranges(y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = store<T>(static_cast<Acc<T>>(draw(static_cast<uint64_t>(i))));
    });
  });
}

}  // namespace cae::cpu
