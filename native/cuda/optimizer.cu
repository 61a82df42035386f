#include <algorithm>
#include <cmath>

#include "cuda/elements.h"
#include "cuda/tensor_list.h"
#include "ops/optimizer.h"

namespace cae::cuda {
namespace {

constexpr int kThreads = kListThreads;

struct NormList {
  Cut<128> cut;
  const void* gradient[128] = {};
};

template <typename A>
__global__ void __launch_bounds__(kThreads)
    norm_kernel(const __grid_constant__ NormList list, double* partial) {
  constexpr int N = kWidth<A>;
  const int block = static_cast<int>(blockIdx.x);
  const int t = list.cut.tensor_of(block);
  const A* gradient = static_cast<const A*>(list.gradient[t]);
  const int64_t begin = (block - list.cut.first_block[t]) * kPiece;
  const int64_t end = std::min(list.cut.size[t], begin + kPiece);
  const bool wide = reinterpret_cast<uintptr_t>(gradient) % 16 == 0;
  double sum = 0;
  const auto add = [&](A g) { sum += static_cast<double>(g) * static_cast<double>(g); };
  int64_t at = begin + static_cast<int64_t>(threadIdx.x) * N;
  for (; wide && at + N <= end; at += kThreads * N) {
    const auto pack = load<N>(gradient + at);
#pragma unroll
    for (int i = 0; i < N; ++i) add(pack.at[i]);
  }
  if (wide) {
    for (; at < end; ++at) add(gradient[at]);  // the one thread whose pack passes the end
  } else {
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) add(gradient[i]);
  }
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) partial[block] = sum;
}

template <typename A>
__global__ void __launch_bounds__(1024) finish_norm_kernel(const double* partial, int64_t count, A* norm) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) *norm = static_cast<A>(std::sqrt(sum));
}

struct AdamwList {
  Cut<48> cut;
  void* parameter[48] = {};
  const void* gradient[48] = {};
  void* first[48] = {};
  void* second[48] = {};
  void* copy[48] = {};   // null for none
  double rate[48] = {};  // divided by 1 − β1^t
  double shrink[48] = {};
};

template <typename A>
struct AdamwNumbers {
  A beta1, beta2, eps, root;  // root: 1/√(1 − β2^t)
  double clip, gradient_scale;
};

// The factor of all gradients; not finite where the step is to be skipped.
template <typename A>
__device__ inline A gradient_factor(const A* norm, const AdamwNumbers<A>& numbers) {
  const double length = static_cast<double>(*norm) * numbers.gradient_scale;
  if (!(length <= 1.7976931348623157e308)) return static_cast<A>(INFINITY);
  const double clip = numbers.clip > 0 ? std::min(1.0, numbers.clip / (length + 1e-6)) : 1.0;
  return static_cast<A>(clip * numbers.gradient_scale);
}

template <int N, typename A, typename Copy>
__device__ inline void adamw_pack(A* p, const A* g, A* m, A* v, Copy* copy, A factor, A rate, A shrink,
                                  const AdamwNumbers<A>& numbers) {
  auto weight = load<N>(p);
  const auto gradient = load<N>(g);
  auto first = load<N>(m);
  auto second = load<N>(v);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const A d = gradient.at[i] * factor;
    first.at[i] = numbers.beta1 * first.at[i] + (1 - numbers.beta1) * d;
    second.at[i] = numbers.beta2 * second.at[i] + (1 - numbers.beta2) * d * d;
    weight.at[i] =
        weight.at[i] * shrink - rate * first.at[i] / (std::sqrt(second.at[i]) * numbers.root + numbers.eps);
  }
  store<N>(m, first);
  store<N>(v, second);
  store<N>(p, weight);
  if constexpr (!std::is_void_v<Copy>) {
    if (copy == nullptr) return;
    Pack<float, N> low;
#pragma unroll
    for (int i = 0; i < N; ++i) low.at[i] = static_cast<float>(weight.at[i]);
    store<N>(copy, low);
  }
}

template <typename A, typename Copy>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(const __grid_constant__ AdamwList list, const A* norm, AdamwNumbers<A> numbers) {
  constexpr int N = kWidth<A>;
  const A factor = gradient_factor(norm, numbers);
  if (factor == static_cast<A>(INFINITY)) return;
  const int t = list.cut.tensor_of(static_cast<int>(blockIdx.x));
  const int64_t begin = (static_cast<int>(blockIdx.x) - list.cut.first_block[t]) * kPiece;
  const int64_t end = std::min(list.cut.size[t], begin + kPiece);
  A* p = static_cast<A*>(list.parameter[t]);
  const A* g = static_cast<const A*>(list.gradient[t]);
  A* m = static_cast<A*>(list.first[t]);
  A* v = static_cast<A*>(list.second[t]);
  auto* copy = static_cast<Copy*>(list.copy[t]);
  const A rate = static_cast<A>(list.rate[t]);
  const A shrink = static_cast<A>(list.shrink[t]);
  const auto at_of = [](auto* base, int64_t at) {
    if constexpr (std::is_void_v<std::remove_pointer_t<decltype(base)>>)
      return base;
    else
      return base == nullptr ? base : base + at;
  };
  const bool wide =
      (reinterpret_cast<uintptr_t>(p) | reinterpret_cast<uintptr_t>(g) | reinterpret_cast<uintptr_t>(m) |
       reinterpret_cast<uintptr_t>(v) | reinterpret_cast<uintptr_t>(copy)) %
          16 ==
      0;
  const int64_t whole = wide ? begin + (end - begin) / N * N : begin;
  for (int64_t at = begin + static_cast<int64_t>(threadIdx.x) * N; at < whole; at += kThreads * N)
    adamw_pack<N>(p + at, g + at, m + at, v + at, at_of(copy, at), factor, rate, shrink, numbers);
  for (int64_t at = whole + threadIdx.x; at < end; at += kThreads)
    adamw_pack<1>(p + at, g + at, m + at, v + at, at_of(copy, at), factor, rate, shrink, numbers);
}

}  // namespace

void global_norm_forward(const std::vector<TensorView>& gradients, const TensorView& norm) {
  constexpr auto op = "global_norm";
  const auto run = [&]<typename A>(A) {
    int64_t blocks = 0;
    for (const TensorView& g : gradients) blocks += (g.numel() + kPiece - 1) / kPiece;
    const Scratch partial(sizeof(double) * static_cast<size_t>(blocks));
    int64_t done = 0;
    NormList list;
    const auto flush = [&] {
      if (list.cut.blocks() > 0)
        launch(op, &norm_kernel<A>, dim3(static_cast<unsigned>(list.cut.blocks())), dim3(kThreads), 0, list,
               partial.as<double>() + done);
      done += list.cut.blocks();
      list = {};
    };
    for (const TensorView& g : gradients) {
      if (g.numel() == 0) continue;
      list.gradient[list.cut.tensors] = g.pointer;
      list.cut.add(g.numel());
      if (list.cut.full()) flush();
    }
    flush();
    launch(op, &finish_norm_kernel<A>, dim3(1), dim3(1024), 0, partial.as<const double>(), blocks,
           norm.data<A>());
  };
  norm.dtype == Dtype::F64 ? run(double{}) : run(float{});
}

void adamw_forward(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                   const std::vector<TensorView>& first, const std::vector<TensorView>& second,
                   const std::vector<TensorView>& copies, const std::vector<double>& rates,
                   const std::vector<double>& decays, const TensorView& norm, const AdamwStep& step) {
  const double first_share = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double second_share = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  const auto run = [&]<typename A, typename Copy>(Dtype copy_dtype, A, Copy*) {
    const AdamwNumbers<A> numbers{static_cast<A>(step.beta1),
                                  static_cast<A>(step.beta2),
                                  static_cast<A>(step.eps),
                                  static_cast<A>(1 / std::sqrt(second_share)),
                                  step.clip,
                                  step.gradient_scale};
    AdamwList list;
    const auto flush = [&] {
      if (list.cut.blocks() > 0)
        launch("adamw", &adamw_kernel<A, Copy>, dim3(static_cast<unsigned>(list.cut.blocks())),
               dim3(kThreads), 0, list, norm.data<const A>(), numbers);
      list = {};
    };
    for (size_t t = 0; t < parameters.size(); ++t) {
      if ((copies.empty() ? parameters[t].dtype : copies[t].dtype) != copy_dtype ||
          parameters[t].numel() == 0)
        continue;
      const int at = list.cut.tensors;
      list.parameter[at] = parameters[t].pointer;
      list.gradient[at] = gradients[t].pointer;
      list.first[at] = first[t].pointer;
      list.second[at] = second[t].pointer;
      // A parameter that computes in its own dtype has itself for a copy.
      list.copy[at] = std::is_void_v<Copy> ? nullptr : copies[t].pointer;
      list.rate[at] = rates[t] / first_share;
      list.shrink[at] = 1 - rates[t] * decays[t];
      list.cut.add(parameters[t].numel());
      if (list.cut.full()) flush();
    }
    flush();
  };
  if (norm.dtype == Dtype::F64) {
    run(Dtype::F64, double{}, static_cast<void*>(nullptr));
    return;
  }
  run(Dtype::F32, float{}, static_cast<void*>(nullptr));
  run(Dtype::BF16, float{}, static_cast<BF16*>(nullptr));
  run(Dtype::F16, float{}, static_cast<F16*>(nullptr));
}

}  // namespace cae::cuda
