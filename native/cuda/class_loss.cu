#include <cmath>

#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "ops/class_loss.h"

namespace cae::cuda {
namespace {

constexpr int kThreads = 256;  // of a block, which has one row and reads it again from its cache

// Σ e^(logit − top) and top, the largest logit, of a block's row.
template <typename A>
struct RowSum {
  A top, sum;
};
template <typename T>
__device__ inline RowSum<Acc<T>> row_sum(int64_t columns, const T* in) {
  using A = Acc<T>;
  A top = static_cast<A>(-INFINITY);
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) top = Max{}(top, static_cast<A>(in[c]));
  top = over_block<Max>(top);
  A sum = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) sum += fast_exp(static_cast<A>(in[c]) - top);
  return {top, over_block<Sum>(sum)};
}

// −Σ t·log softmax = Σt·log Σe^(logit − top) + Σ t·(top − logit)
template <typename T>
__global__ void __launch_bounds__(kThreads)
    soft_cross_entropy_kernel(int64_t columns, const T* logits, const Acc<T>* targets, Acc<T> share,
                              T* dlogits, Acc<T>* losses) {
  using A = Acc<T>;
  const int64_t start = blockIdx.x * columns;
  const T* in = logits + start;
  const A* target = targets + start;
  const RowSum<A> all = row_sum(columns, in);
  A weight = 0;
  A distance = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    weight += target[c];
    distance += target[c] * (all.top - static_cast<A>(in[c]));
  }
  weight = over_block<Sum>(weight);
  distance = over_block<Sum>(distance);
  const A factor = weight / all.sum;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads)
    dlogits[start + c] = T((fast_exp(static_cast<A>(in[c]) - all.top) * factor - target[c]) * share);
  if (threadIdx.x == 0) losses[blockIdx.x] = weight * std::log(all.sum) + distance;
}

// The same for targets of `right` at the label and `other` everywhere besides.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    smooth_cross_entropy_kernel(int64_t columns, const T* logits, const int32_t* labels, Acc<T> right,
                                Acc<T> other, Acc<T> share, T* dlogits, Acc<T>* losses, Fault* fault) {
  using A = Acc<T>;
  const int64_t start = blockIdx.x * columns;
  const T* in = logits + start;
  const int64_t label = labels[blockIdx.x];
  const bool known = label >= 0 && label < columns;
  if (!known && threadIdx.x == 0)
    report(fault, Fault::SmoothCrossEntropyLabel, label, static_cast<int64_t>(blockIdx.x), columns);
  const RowSum<A> all = row_sum(columns, in);
  A others = 0;  // Σ other·(top − logit); without smoothing, a logit of −∞ costs nothing
  if (other != 0) {
    for (int64_t c = threadIdx.x; c < columns; c += kThreads) others += all.top - static_cast<A>(in[c]);
    others = other * over_block<Sum>(others);
  }
  const A factor = A(1) / all.sum;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    const A target = c == label ? other + right : other;
    dlogits[start + c] = T((fast_exp(static_cast<A>(in[c]) - all.top) * factor - target) * share);
  }
  if (threadIdx.x != 0) return;
  const A wanted = known ? static_cast<A>(in[label]) : A(0);
  losses[blockIdx.x] = std::log(all.sum) + right * (all.top - wanted) + others;
}

// How many come before the label's logit: larger ones, and equal ones in front of it.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    label_ranks_kernel(int64_t columns, const T* logits, const int32_t* labels, int32_t* ranks,
                       Fault* fault) {
  using A = Acc<T>;
  const T* in = logits + blockIdx.x * columns;
  const int64_t label = labels[blockIdx.x];
  if (label < 0 || label >= columns) {
    if (threadIdx.x == 0)
      report(fault, Fault::LabelRanksLabel, label, static_cast<int64_t>(blockIdx.x), columns);
    return;
  }
  const A wanted = static_cast<A>(in[label]);
  int before = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    const A value = static_cast<A>(in[c]);
    before += value > wanted || (value == wanted && c < label) ? 1 : 0;
  }
  before = over_block<Sum>(before);
  if (threadIdx.x == 0) ranks[blockIdx.x] = std::isnan(wanted) ? static_cast<int32_t>(columns - 1) : before;
}

}  // namespace

void soft_cross_entropy_forward(const TensorView& logits, const TensorView& targets, const TensorView& loss,
                                const TensorView& dlogits) {
  constexpr auto op = "soft_cross_entropy";
  const int64_t rows = logits.shape[0];
  dispatch_real(logits.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    const double share = 1.0 / static_cast<double>(rows);
    const Scratch losses(sizeof(A) * static_cast<size_t>(rows));
    if (rows > 0)
      launch(op, &soft_cross_entropy_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
             logits.shape[1], logits.data<T>(), targets.data<A>(), static_cast<A>(share), dlogits.data<T>(),
             losses.as<A>());
    finish_scalars(op, losses.as<const A>(), rows, share, loss.data<A>());
  });
}

void smooth_cross_entropy_forward(const TensorView& logits, const TensorView& labels, double smoothing,
                                  const TensorView& loss, const TensorView& dlogits) {
  constexpr auto op = "smooth_cross_entropy";
  const int64_t rows = logits.shape[0];
  const int64_t columns = logits.shape[1];
  dispatch_real(logits.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    const double share = 1.0 / static_cast<double>(rows);
    const Scratch losses(sizeof(A) * static_cast<size_t>(rows));
    if (rows > 0)
      launch(op, &smooth_cross_entropy_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
             columns, logits.data<T>(), labels.data<int32_t>(), static_cast<A>(1 - smoothing),
             static_cast<A>(smoothing / static_cast<double>(columns)), static_cast<A>(share),
             dlogits.data<T>(), losses.as<A>(), fault_of_device());
    finish_scalars(op, losses.as<const A>(), rows, share, loss.data<A>());
  });
}

void label_ranks_forward(const TensorView& logits, const TensorView& labels, const TensorView& ranks) {
  const int64_t rows = logits.shape[0];
  if (rows == 0) return;
  dispatch_real(logits.dtype, "label_ranks", [&]<typename T>(T) {
    launch("label_ranks", &label_ranks_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0,
           logits.shape[1], logits.data<T>(), labels.data<int32_t>(), ranks.data<int32_t>(),
           fault_of_device());
  });
}

}  // namespace cae::cuda
