#include "ops/loss.h"

#include <algorithm>
#include <cmath>

#include "cpu/column_sum.h"
#include "cpu/dispatch_pair.h"

namespace cae::cpu {

void cross_entropy_forward(const TensorView& logits, const TensorView& labels, const TensorView& loss,
                           const TensorView& accuracy, const TensorView& dlogits, double factor) {
  const int64_t rows = logits.shape[0];
  const int64_t columns = logits.shape[1];
  const int32_t* label = labels.data<int32_t>();
  for (int64_t r = 0; r < rows; ++r)
    check(label[r] >= 0 && label[r] < columns, "cross_entropy", "label ", label[r], " of row ", r,
          " is outside ", columns, " classes");
  dispatch_float(logits.dtype, "cross_entropy", [&]<typename T>(T) {
    using A = Acc<T>;
    std::vector<double> losses(static_cast<size_t>(rows));
    std::vector<uint8_t> hits(static_cast<size_t>(rows));
    const A share = static_cast<A>(factor) / static_cast<A>(rows);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const T* in = logits.data<T>() + r * columns;
      T* out = dlogits.data<T>() + r * columns;
      const A wanted = load(in[label[r]]);
      A top = load(in[0]);
#pragma omp simd reduction(max : top)
      for (int64_t c = 0; c < columns; ++c) top = load(in[c]) > top ? load(in[c]) : top;
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < columns; ++c) sum += vexp(load(in[c]) - top);
      // As argmax does: the first of equals wins.
      bool first = wanted == top;
      for (int64_t c = 0; first && c < label[r]; ++c) first = load(in[c]) < top;
      hits[r] = first;
      losses[r] = static_cast<double>(std::log(sum) + (top - wanted));
      const A scale = share / sum;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) out[c] = store<T>(vexp(load(in[c]) - top) * scale);
      out[label[r]] = store<T>(vexp(wanted - top) * scale - share);
    }
    double total = 0;
    int64_t right = 0;
    for (int64_t r = 0; r < rows; ++r) {
      total += losses[r];
      right += hits[r];
    }
    *loss.data<A>() = static_cast<A>(total / static_cast<double>(rows));
    *accuracy.data<A>() = static_cast<A>(static_cast<double>(right) / static_cast<double>(rows));
  });
}

void mse_forward(const TensorView& x, const TensorView& target, const TensorView& loss) {
  const int64_t columns = x.shape[-1];
  dispatch_pair(x.dtype, target.dtype, "mse", [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    std::vector<double> sums(static_cast<size_t>(x.shape.rows()));
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < x.shape.rows(); ++r) {
      const X* a = x.data<X>() + r * columns;
      const Y* b = target.data<Y>() + r * columns;
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < columns; ++c) {
        const A d = load(a[c]) - load(b[c]);
        sum += d * d;
      }
      sums[r] = static_cast<double>(sum);
    }
    double total = 0;
    for (const double s : sums) total += s;
    *loss.data<A>() = static_cast<A>(total / static_cast<double>(x.numel()));
  });
}

void mse_backward(const TensorView& dloss, const TensorView& x, const TensorView& target,
                  const TensorView& dx) {
  dispatch_pair(x.dtype, target.dtype, "mse_backward", [&]<typename X, typename Y>(X, Y) {
    using A = Acc<X>;
    const A factor = A(2) * *dloss.data<A>() / static_cast<A>(x.numel());
    const X* a = x.data<X>();
    const Y* b = target.data<Y>();
    X* out = dx.data<X>();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < x.numel(); ++i) out[i] = store<X>(factor * (load(a[i]) - load(b[i])));
  });
}

void smooth_l1_forward(const TensorView& x, const TensorView& target, const TensorView& loss,
                       const TensorView& gradient) {
  dispatch_float(x.dtype, "smooth_l1", [&]<typename T>(T) {
    using A = Acc<T>;
    const double share = 1.0 / static_cast<double>(x.numel());
    double total = 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const A d = load(x.data<T>()[i]) - load(target.data<T>()[i]);
      const A size = std::abs(d);
      total += static_cast<double>(size < 1 ? d * d / 2 : size - A(0.5));
      gradient.data<T>()[i] = store<T>((size < 1 ? d : std::copysign(A(1), d)) * static_cast<A>(share));
    }
    *loss.data<A>() = static_cast<A>(total * share);
  });
}

void kl_to_uniform_forward(const TensorView& logits, double factor, const TensorView& loss,
                           const TensorView& gradient) {
  const int64_t columns = logits.shape[-1];
  dispatch_float(logits.dtype, "kl_to_uniform", [&]<typename T>(T) {
    using A = Acc<T>;
    double total = 0;
    for (int64_t r = 0; r < logits.shape.rows(); ++r) {
      const T* in = logits.data<T>() + r * columns;
      T* out = gradient.data<T>() + r * columns;
      A top = load(in[0]);
      for (int64_t c = 0; c < columns; ++c) top = std::max(top, load(in[c]));
      A sum = 0;
      A weighted = 0;  // Σ e^z·z, z = logit − top
      for (int64_t c = 0; c < columns; ++c) {
        const A e = vexp(load(in[c]) - top);
        sum += e;
        weighted += e * (load(in[c]) - top);
      }
      // KL = Σ p·log p + log V = E[z] − log Σe^z + log V;  dKL/dz_c = p_c·(log p_c − Σ p·log p)
      const A mean = weighted / sum;
      const A log_sum = std::log(sum);
      total += static_cast<double>(mean - log_sum + std::log(static_cast<A>(columns)));
      for (int64_t c = 0; c < columns; ++c) {
        const A z = load(in[c]) - top;
        out[c] = store<T>(vexp(z) / sum * (z - mean) * static_cast<A>(factor));
      }
    }
    *loss.data<A>() = static_cast<A>(total * factor);
  });
}

}  // namespace cae::cpu
