#include "ops/pointwise.h"

#include <cmath>
#include <numbers>

#include "core/philox.h"
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

// Inverse of the normal distribution function (Acklam's approximation with one Halley step: full double
// precision).
double normal_quantile(double p) {
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                                 1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                                 6.680131188771972e+01, -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                                 -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                                 3.754408661907416e+00};
  double x = 0;
  const auto tail = [&](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  if (p < 0.02425) {
    x = tail(std::sqrt(-2 * std::log(p)));
  } else if (p > 1 - 0.02425) {
    x = -tail(std::sqrt(-2 * std::log(1 - p)));
  } else {
    const double q = p - 0.5;
    const double r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double e = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
  const double u = e * std::sqrt(2 * std::numbers::pi) * std::exp(x * x / 2);
  return x - u / (1 + x * u / 2);
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
  const Philox draw{static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0};
  dispatch_float(y.dtype, "uniform", [&]<typename T>(T) {
    T* out = y.data<T>();
    for_ranges(y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = store<T>(static_cast<Acc<T>>(
            low + (high - low) * static_cast<double>(draw.uniform(static_cast<uint64_t>(i)))));
    });
  });
}

void fill_truncated_normal(const TensorView& y, double deviation, double cut, double seed, int64_t stream) {
  const Philox draw{static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), 0};
  const double below = 0.5 * std::erfc(cut / deviation / std::numbers::sqrt2);
  dispatch_float(y.dtype, "truncated_normal", [&]<typename T>(T) {
    T* out = y.data<T>();
    for_ranges(y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double p = below + (1 - 2 * below) * draw.uniform_open(static_cast<uint64_t>(i));
        out[i] = store<T>(static_cast<Acc<T>>(std::clamp(deviation * normal_quantile(p), -cut, cut)));
      }
    });
  });
}

}  // namespace cae::cpu
