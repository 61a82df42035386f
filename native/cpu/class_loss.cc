#include "ops/class_loss.h"

#include <cmath>
#include <vector>

#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

void check_labels(const char* op, const TensorView& labels, int64_t classes) {
  for (int64_t r = 0; r < labels.numel(); ++r) {
    const int32_t label = labels.data<int32_t>()[r];
    check(label >= 0 && label < classes, op, "label ", label, " of row ", r, " is outside ", classes,
          " classes");
  }
}

// A row's largest logit and Σ e^(logit − largest).
template <typename A>
struct RowSum {
  A top, sum;
};
template <typename T>
RowSum<Acc<T>> row_sum(const T* logits, int64_t columns) {
  using A = Acc<T>;
  A top = load(logits[0]);
#pragma omp simd reduction(max : top)
  for (int64_t c = 0; c < columns; ++c) top = load(logits[c]) > top ? load(logits[c]) : top;
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < columns; ++c) sum += vexp(load(logits[c]) - top);
  return {top, sum};
}

// Σ (top − logit)
template <typename T, typename A = Acc<T>>
A distance_below(A top, const T* logits, int64_t columns) {
  A distance = 0;
#pragma omp simd reduction(+ : distance)
  for (int64_t c = 0; c < columns; ++c) distance += top - load(logits[c]);
  return distance;
}

// Runs row(r, logits, dlogits), which returns the row's loss, over all rows; writes the mean loss.
template <typename T, typename Row>
void over_rows(const TensorView& logits, const TensorView& loss, const TensorView& dlogits, Row&& row) {
  using A = Acc<T>;
  const int64_t rows = logits.shape[0];
  const int64_t columns = logits.shape[1];
  std::vector<double> losses(static_cast<size_t>(rows));
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r)
    losses[r] = row(r, logits.data<T>() + r * columns, dlogits.data<T>() + r * columns);
  double total = 0;
  for (const double l : losses) total += l;
  *loss.data<A>() = static_cast<A>(total / static_cast<double>(rows));
}

}  // namespace

void soft_cross_entropy_forward(const TensorView& logits, const TensorView& targets, const TensorView& loss,
                                const TensorView& dlogits) {
  const int64_t columns = logits.shape[1];
  dispatch_float(logits.dtype, "soft_cross_entropy", [&]<typename T>(T) {
    using A = Acc<T>;
    const A share = A(1) / static_cast<A>(logits.shape[0]);
    over_rows<T>(logits, loss, dlogits, [&](int64_t r, const T* in, T* out) {
      const A* target = targets.data<A>() + r * columns;
      const RowSum<A> all = row_sum(in, columns);
      const A top = all.top;
      const A sum = all.sum;
      A weight = 0;    // Σ t
      A distance = 0;  // Σ t·(top − logit)
#pragma omp simd reduction(+ : weight, distance)
      for (int64_t c = 0; c < columns; ++c) {
        weight += target[c];
        distance += target[c] * (top - load(in[c]));
      }
      const A factor = weight / sum;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c)
        out[c] = store<T>((vexp(load(in[c]) - top) * factor - target[c]) * share);
      return static_cast<double>(weight * std::log(sum) + distance);
    });
  });
}

void smooth_cross_entropy_forward(const TensorView& logits, const TensorView& labels, double smoothing,
                                  const TensorView& loss, const TensorView& dlogits) {
  const int64_t columns = logits.shape[1];
  check_labels("smooth_cross_entropy", labels, columns);
  dispatch_float(logits.dtype, "smooth_cross_entropy", [&]<typename T>(T) {
    using A = Acc<T>;
    const A share = A(1) / static_cast<A>(logits.shape[0]);
    const A right = static_cast<A>(1 - smoothing);
    const A other = static_cast<A>(smoothing / static_cast<double>(columns));
    over_rows<T>(logits, loss, dlogits, [&](int64_t r, const T* in, T* out) {
      const int32_t label = labels.data<int32_t>()[r];
      const A wanted = load(in[label]);
      const RowSum<A> all = row_sum(in, columns);
      const A top = all.top;
      const A sum = all.sum;
      // Without smoothing, a logit of −∞ beside the label's costs nothing.
      const A others = other == 0 ? A(0) : other * distance_below(top, in, columns);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c)
        out[c] = store<T>((vexp(load(in[c]) - top) / sum - other) * share);
      out[label] = store<T>((vexp(wanted - top) / sum - other - right) * share);
      return static_cast<double>(std::log(sum) + right * (top - wanted) + others);
    });
  });
}

void label_ranks_forward(const TensorView& logits, const TensorView& labels, const TensorView& ranks) {
  const int64_t columns = logits.shape[1];
  check_labels("label_ranks", labels, columns);
  dispatch_float(logits.dtype, "label_ranks", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < logits.shape[0]; ++r) {
      const T* in = logits.data<T>() + r * columns;
      const int32_t label = labels.data<int32_t>()[r];
      const auto wanted = load(in[label]);
      int32_t before = 0;
      for (int64_t c = 0; c < columns; ++c) before += load(in[c]) > wanted;
      for (int64_t c = 0; c < label; ++c) before += load(in[c]) == wanted;
      ranks.data<int32_t>()[r] = std::isnan(wanted) ? static_cast<int32_t>(columns - 1) : before;
    }
  });
}

}  // namespace cae::cpu
