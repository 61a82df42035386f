#include <cmath>
#include <type_traits>

#include "cuda/tensor_list.h"
#include "ops/momentum.h"

namespace cae::cuda {
namespace {

constexpr int kTensors = 48;

struct MomentumList {
  Cut<kTensors> cut;
  void* parameter[kTensors] = {};
  const void* gradient[kTensors] = {};
  void* buffer[kTensors] = {};
  void* copy[kTensors] = {};           // null for none
  const double* ratio[kTensors] = {};  // LARS's, where there is one
  double scale[kTensors] = {};         // of the step's rate
  bool decayed[kTensors] = {};
};

// The step's learning rate and decay, in device memory.
struct Rates {
  double rate, decay;
};

// The factor on gradients: their scale, and clipping. Not a number where the norm is not finite: the step is
// to be skipped.
template <typename A>
__device__ inline double gradient_factor(const A* norm, const MomentumStep& step) {
  const double length = static_cast<double>(*norm) * step.gradient_scale;
  if (!std::isfinite(length)) return static_cast<double>(NAN);
  return step.gradient_scale * (step.clip > 0 ? std::min(1.0, step.clip / (length + 1e-6)) : 1.0);
}

template <typename A>
struct Factors {
  A gradient, decay, scale, rate, momentum;
  A of_d, of_m;  // nesterov's d + momentum·m, or m alone
};

template <int N, typename A, typename Copy>
__device__ inline void update_pack(A* p, const A* g, A* m, Copy* copy, const Factors<A>& f) {
  auto weight = load<N>(p);
  const auto gradient = load<N>(g);
  auto buffer = load<N>(m);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const A d = (gradient.at[i] * f.gradient + f.decay * weight.at[i]) * f.scale;
    buffer.at[i] = f.momentum * buffer.at[i] + d;
    weight.at[i] -= f.rate * (f.of_d * d + f.of_m * buffer.at[i]);
  }
  store<N>(m, buffer);
  store<N>(p, weight);
  if constexpr (!std::is_void_v<Copy>) {
    Pack<float, N> low;
#pragma unroll
    for (int i = 0; i < N; ++i) low.at[i] = static_cast<float>(weight.at[i]);
    store<N>(copy, low);
  }
}

template <typename A, typename Copy>
__global__ void __launch_bounds__(kListThreads)
    momentum_kernel(const __grid_constant__ MomentumList list, const Rates* rates, const A* norm,
                    MomentumStep step) {
  const double factor = gradient_factor(norm, step);
  if (std::isnan(factor)) return;
  const ListPiece piece = piece_of_block(list.cut);
  const int t = piece.tensor;
  A* p = static_cast<A*>(list.parameter[t]);
  const A* g = static_cast<const A*>(list.gradient[t]);
  A* m = static_cast<A*>(list.buffer[t]);
  auto* copy = static_cast<Copy*>(list.copy[t]);
  const A momentum = static_cast<A>(step.momentum);
  const Factors<A> f{static_cast<A>(factor),
                     static_cast<A>(list.decayed[t] ? rates->decay : 0),
                     list.ratio[t] == nullptr ? A(1) : static_cast<A>(*list.ratio[t]),
                     static_cast<A>(rates->rate * list.scale[t]),
                     momentum,
                     step.nesterov ? A(1) : A(0),
                     step.nesterov ? momentum : A(1)};
  over_piece<kWidth<A>>(piece, aligned(p, g, m, copy),
                        [&]<int N>(std::integral_constant<int, N>, int64_t at) {
                          if constexpr (std::is_void_v<Copy>)
                            update_pack<N>(p + at, g + at, m + at, copy, f);
                          else
                            update_pack<N>(p + at, g + at, m + at, copy + at, f);
                        });
}

// The squares of a piece's weights, and of its d, summed: partial[2·block] and the one behind it.
template <typename A>
__global__ void __launch_bounds__(kListThreads)
    lars_norms_kernel(const __grid_constant__ MomentumList list, const Rates* rates, const A* norm,
                      MomentumStep step, double* partial) {
  const double factor = gradient_factor(norm, step);
  const ListPiece piece = piece_of_block(list.cut);
  const A* p = static_cast<const A*>(list.parameter[piece.tensor]);
  const A* g = static_cast<const A*>(list.gradient[piece.tensor]);
  const double decay = list.decayed[piece.tensor] ? rates->decay : 0;
  double weight = 0;
  double update = 0;
  over_piece<kWidth<A>>(piece, aligned(p, g), [&]<int N>(std::integral_constant<int, N>, int64_t at) {
    const auto values = load<N>(p + at);
    const auto gradients = load<N>(g + at);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const auto value = static_cast<double>(values.at[i]);
      const double d = static_cast<double>(gradients.at[i]) * factor + decay * value;
      weight += value * value;
      update += d * d;
    }
  });
  weight = over_block<Sum>(weight);
  update = over_block<Sum>(update);
  if (threadIdx.x != 0) return;
  partial[2 * blockIdx.x] = weight;
  partial[2 * blockIdx.x + 1] = update;
}

// trust·‖p‖/‖d‖ of each tensor of a list, or 1 where a norm is 0: a block a tensor.
__global__ void __launch_bounds__(kListThreads)
    lars_ratios_kernel(const __grid_constant__ Cut<kTensors> cut, double trust, const double* partial,
                       double* ratios) {
  const int t = static_cast<int>(blockIdx.x);
  double weight = 0;
  double update = 0;
  for (int b = cut.first_block[t] + static_cast<int>(threadIdx.x); b < cut.first_block[t + 1];
       b += kListThreads) {
    weight += partial[2 * b];
    update += partial[2 * b + 1];
  }
  weight = over_block<Sum>(weight);
  update = over_block<Sum>(update);
  if (threadIdx.x == 0) ratios[t] = weight > 0 && update > 0 ? trust * std::sqrt(weight / update) : 1;
}

// What an optimizer with momentum is given.
struct Tensors {
  const std::vector<TensorView>& parameters;
  const std::vector<TensorView>& gradients;
  const std::vector<TensorView>& buffers;
  const std::vector<TensorView>& copies;
  const std::vector<double>& scales;
  const std::vector<bool>& decayed;

  // A parameter that computes in its own dtype has itself for a copy.
  Dtype copy_dtype(size_t t) const { return copies.empty() ? parameters[t].dtype : copies[t].dtype; }
  // Calls take(list) with the tensors that `wanted` names, as many at a time as a launch takes.
  template <typename Wanted, typename Take>
  void in_lists(Wanted&& wanted, Take&& take) const {
    MomentumList list;
    for (size_t t = 0; t < parameters.size(); ++t) {
      if (parameters[t].numel() == 0 || !wanted(t)) continue;
      const int at = list.cut.tensors;
      list.parameter[at] = parameters[t].pointer;
      list.gradient[at] = gradients[t].pointer;
      list.buffer[at] = buffers[t].pointer;
      list.copy[at] = copy_dtype(t) == parameters[t].dtype ? nullptr : copies[t].pointer;
      list.scale[at] = scales[t];
      list.decayed[at] = decayed[t];
      list.cut.add(parameters[t].numel());
      if (!list.cut.full()) continue;
      take(list);
      list = {};
    }
    if (list.cut.tensors > 0) take(list);
  }
};

// One step: of LARS where `scaled` says which tensors have a trust ratio, else of SGD.
void momentum_step(const char* op, const Tensors& all, const std::vector<bool>* scaled,
                   const TensorView& rates, const TensorView& norm, const MomentumStep& step) {
  const auto* numbers = static_cast<const Rates*>(rates.pointer);
  const Scratch ratios(sizeof(double) * kTensors);
  const auto run = [&]<typename A, typename Copy>(Dtype copy_dtype, bool with_ratio, A, Copy*) {
    const auto wanted = [&](size_t t) {
      return all.copy_dtype(t) == copy_dtype && (scaled != nullptr && (*scaled)[t]) == with_ratio;
    };
    all.in_lists(wanted, [&](MomentumList& list) {
      const dim3 grid(static_cast<unsigned>(list.cut.blocks()));
      if (with_ratio) {
        const Scratch partial(sizeof(double) * 2 * grid.x);
        launch(op, &lars_norms_kernel<A>, grid, dim3(kListThreads), 0, list, numbers, norm.data<const A>(),
               step, partial.as<double>());
        launch(op, &lars_ratios_kernel, dim3(static_cast<unsigned>(list.cut.tensors)), dim3(kListThreads), 0,
               list.cut, step.trust, partial.as<const double>(), ratios.as<double>());
        for (int t = 0; t < list.cut.tensors; ++t) list.ratio[t] = ratios.as<const double>() + t;
      }
      launch(op, &momentum_kernel<A, Copy>, grid, dim3(kListThreads), 0, list, numbers, norm.data<const A>(),
             step);
    });
  };
  for (const bool with_ratio : {false, true}) {
    if (norm.dtype == Dtype::F64) {
      run(Dtype::F64, with_ratio, double{}, static_cast<void*>(nullptr));
      continue;
    }
    run(Dtype::F32, with_ratio, float{}, static_cast<void*>(nullptr));
    run(Dtype::BF16, with_ratio, float{}, static_cast<BF16*>(nullptr));
    run(Dtype::F16, with_ratio, float{}, static_cast<F16*>(nullptr));
  }
}

struct AverageList {
  Cut<128> cut;
  void* average[128] = {};
  const void* value[128] = {};
};

template <typename A>
__global__ void __launch_bounds__(kListThreads)
    moving_average_kernel(const __grid_constant__ AverageList list, A keep, A take) {
  const ListPiece piece = piece_of_block(list.cut);
  A* average = static_cast<A*>(list.average[piece.tensor]);
  const A* value = static_cast<const A*>(list.value[piece.tensor]);
  over_piece<kWidth<A>>(piece, aligned(average, value),
                        [&]<int N>(std::integral_constant<int, N>, int64_t at) {
                          auto mean = load<N>(average + at);
                          const auto next = load<N>(value + at);
#pragma unroll
                          for (int i = 0; i < N; ++i) mean.at[i] = keep * mean.at[i] + take * next.at[i];
                          store<N>(average + at, mean);
                        });
}

}  // namespace

void sgd_forward(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                 const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
                 const std::vector<double>& scales, const std::vector<bool>& decayed, const TensorView& rates,
                 const TensorView& norm, const MomentumStep& step) {
  momentum_step("sgd", {parameters, gradients, buffers, copies, scales, decayed}, nullptr, rates, norm, step);
}

void lars_forward(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                  const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
                  const std::vector<double>& scales, const std::vector<bool>& decayed,
                  const std::vector<bool>& scaled, const TensorView& rates, const TensorView& norm,
                  const MomentumStep& step) {
  momentum_step("lars", {parameters, gradients, buffers, copies, scales, decayed}, &scaled, rates, norm,
                step);
}

void moving_average_forward(const std::vector<TensorView>& averages, const std::vector<TensorView>& values,
                            double decay) {
  const auto run = [&]<typename A>(A) {
    AverageList list;
    const auto flush = [&] {
      if (list.cut.tensors > 0)
        launch("moving_average", &moving_average_kernel<A>, dim3(static_cast<unsigned>(list.cut.blocks())),
               dim3(kListThreads), 0, list, static_cast<A>(decay), static_cast<A>(1 - decay));
      list = {};
    };
    for (size_t t = 0; t < values.size(); ++t) {
      if (values[t].dtype != DtypeOf<A>::value || values[t].numel() == 0) continue;
      list.average[list.cut.tensors] = averages[t].pointer;
      list.value[list.cut.tensors] = values[t].pointer;
      list.cut.add(values[t].numel());
      if (list.cut.full()) flush();
    }
    flush();
  };
  run(float{});
  run(double{});
}

}  // namespace cae::cuda
