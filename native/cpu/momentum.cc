#include "ops/momentum.h"

#include <algorithm>
#include <cmath>

#include "cpu/pieces.h"

namespace cae::cpu {
namespace {

// The factor on gradients: their scale, and clipping. Not a number where the norm is not finite.
double gradient_factor(const TensorView& norm, const MomentumStep& step) {
  const double length =
      (norm.dtype == Dtype::F64 ? *norm.data<double>() : static_cast<double>(*norm.data<float>())) *
      step.gradient_scale;
  if (!std::isfinite(length)) return std::nan("");
  return step.gradient_scale * (step.clip > 0 ? std::min(1.0, step.clip / (length + 1e-6)) : 1.0);
}

// The step's learning rate and decay.
struct Rates {
  double rate, decay;
};
Rates rates_of(const TensorView& rates) {
  return {rates.data<const double>()[0], rates.data<const double>()[1]};
}

struct Factors {
  double gradient, decay, scale, rate;  // d = (g·gradient + decay·p)·scale
};

template <typename A, typename Copy>
void update(A* p, const A* g, A* m, Copy* copy, int64_t n, const Factors& f, const MomentumStep& s) {
  const A gradient = static_cast<A>(f.gradient);
  const A decay = static_cast<A>(f.decay);
  const A scale = static_cast<A>(f.scale);
  const A rate = static_cast<A>(f.rate);
  const A momentum = static_cast<A>(s.momentum);
  // nesterov's d + momentum·m, or m alone
  const A of_d = s.nesterov ? A(1) : A(0);
  const A of_m = s.nesterov ? momentum : A(1);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const A d = (g[i] * gradient + decay * p[i]) * scale;
    const A buffer = momentum * m[i] + d;
    const A next = p[i] - rate * (of_d * d + of_m * buffer);
    m[i] = buffer;
    p[i] = next;
    // bf16 by its bits: the compiler does not vectorise a loop that stores the struct.
    if constexpr (std::is_same_v<Copy, BF16>) copy[i].bits = BF16::round(static_cast<float>(next));
    if constexpr (std::is_same_v<Copy, F16>) copy[i] = F16(static_cast<float>(next));
  }
}

// update() of every piece, with factors_of(tensor).
template <typename FactorsOf>
void update_all(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
                const MomentumStep& step, FactorsOf&& factors_of) {
  const std::vector<Piece> pieces = pieces_of(parameters);
#pragma omp parallel for schedule(static)
  for (size_t k = 0; k < pieces.size(); ++k) {
    const auto [t, begin, end] = pieces[k];
    const Factors factors = factors_of(t);
    const auto run = [&, t = t, begin = begin, end = end]<typename A, typename Copy>(A, Copy* copy) {
      update<A, Copy>(parameters[t].data<A>() + begin, gradients[t].data<A>() + begin,
                      buffers[t].data<A>() + begin, copy, end - begin, factors, step);
    };
    // A parameter that computes in its own dtype has itself for a copy.
    switch (copies.empty() ? parameters[t].dtype : copies[t].dtype) {
      case Dtype::F64:
        run(double{}, static_cast<void*>(nullptr));
        break;
      case Dtype::BF16:
        run(float{}, copies[t].data<BF16>() + begin);
        break;
      case Dtype::F16:
        run(float{}, copies[t].data<F16>() + begin);
        break;
      default:
        run(float{}, static_cast<void*>(nullptr));
    }
  }
}

// trust·‖p‖/‖g·gradient + decay·p‖ for each scaled tensor, else 1; sums over pieces in order.
std::vector<double> trust_ratios(const std::vector<TensorView>& parameters,
                                 const std::vector<TensorView>& gradients, const std::vector<bool>& decayed,
                                 double step_decay, const std::vector<bool>& scaled, double gradient,
                                 double trust) {
  const std::vector<Piece> pieces = pieces_of(parameters);
  std::vector<double> weights(pieces.size());
  std::vector<double> updates(pieces.size());
#pragma omp parallel for schedule(static)
  for (size_t k = 0; k < pieces.size(); ++k) {
    const auto [t, begin, end] = pieces[k];
    if (!scaled[t]) continue;
    const auto run = [&, t = t, begin = begin, end = end]<typename A>(A) {
      const A* p = parameters[t].data<A>();
      const A* g = gradients[t].data<A>();
      const double decay = decayed[t] ? step_decay : 0;
      double weight = 0;
      double update = 0;
#pragma omp simd reduction(+ : weight, update)
      for (int64_t i = begin; i < end; ++i) {
        const double value = static_cast<double>(p[i]);
        const double d = static_cast<double>(g[i]) * gradient + decay * value;
        weight += value * value;
        update += d * d;
      }
      weights[k] = weight;
      updates[k] = update;
    };
    parameters[t].dtype == Dtype::F64 ? run(double{}) : run(float{});
  }
  std::vector<double> weight(parameters.size());
  std::vector<double> update(parameters.size());
  for (size_t k = 0; k < pieces.size(); ++k) {
    weight[pieces[k].tensor] += weights[k];
    update[pieces[k].tensor] += updates[k];
  }
  std::vector<double> ratios(parameters.size(), 1);
  for (size_t t = 0; t < ratios.size(); ++t)
    if (weight[t] > 0 && update[t] > 0) ratios[t] = trust * std::sqrt(weight[t] / update[t]);
  return ratios;
}

}  // namespace

void sgd_forward(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                 const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
                 const std::vector<double>& scales, const std::vector<bool>& decayed, const TensorView& rates,
                 const TensorView& norm, const MomentumStep& step) {
  const double gradient = gradient_factor(norm, step);
  if (std::isnan(gradient)) return;
  const auto [rate, decay] = rates_of(rates);
  update_all(parameters, gradients, buffers, copies, step, [&, rate = rate, decay = decay](size_t t) {
    return Factors{gradient, decayed[t] ? decay : 0, 1, rate * scales[t]};
  });
}

void lars_forward(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                  const std::vector<TensorView>& buffers, const std::vector<TensorView>& copies,
                  const std::vector<double>& scales, const std::vector<bool>& decayed,
                  const std::vector<bool>& scaled, const TensorView& rates, const TensorView& norm,
                  const MomentumStep& step) {
  const double gradient = gradient_factor(norm, step);
  if (std::isnan(gradient)) return;
  const auto [rate, decay] = rates_of(rates);
  const std::vector<double> ratios =
      trust_ratios(parameters, gradients, decayed, decay, scaled, gradient, step.trust);
  update_all(parameters, gradients, buffers, copies, step, [&, rate = rate, decay = decay](size_t t) {
    return Factors{gradient, decayed[t] ? decay : 0, ratios[t], rate * scales[t]};
  });
}

void moving_average_forward(const std::vector<TensorView>& averages, const std::vector<TensorView>& values,
                            double decay) {
  const std::vector<Piece> pieces = pieces_of(values);
#pragma omp parallel for schedule(static)
  for (size_t k = 0; k < pieces.size(); ++k) {
    const auto [t, begin, end] = pieces[k];
    const auto run = [&, t = t, begin = begin, end = end]<typename A>(A) {
      A* a = averages[t].data<A>();
      const A* v = values[t].data<A>();
      const A keep = static_cast<A>(decay);
      const A take = static_cast<A>(1 - decay);
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) a[i] = keep * a[i] + take * v[i];
    };
    values[t].dtype == Dtype::F64 ? run(double{}) : run(float{});
  }
}

}  // namespace cae::cpu
