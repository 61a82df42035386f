#include "ops/optimizer.h"

#include <algorithm>
#include <cmath>

#include "cpu/pieces.h"
#include "cpu/vector_math.h"
#include "ops/loss_scale.h"

namespace cae::cpu {
namespace {

struct Factors {
  double shrink, rate, gradient, second_scale;
};

template <typename A, typename Copy>
void update(A* p, const A* g, A* m, A* v, Copy* copy, int64_t n, const Factors& f, const AdamwConstants& s) {
  const A b1 = static_cast<A>(s.beta1);
  const A b2 = static_cast<A>(s.beta2);
  const A eps = static_cast<A>(s.eps);
  const A gradient = static_cast<A>(f.gradient);
  const A shrink = static_cast<A>(f.shrink);
  const A rate = static_cast<A>(f.rate);
  const A root = static_cast<A>(f.second_scale);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const A d = g[i] * gradient;
    const A first = b1 * m[i] + (1 - b1) * d;
    const A second = b2 * v[i] + (1 - b2) * d * d;
    const A next = p[i] * shrink - rate * first / (std::sqrt(second) * root + eps);
    m[i] = first;
    v[i] = second;
    p[i] = next;
    // bf16 by its bits: the compiler does not vectorise a loop that stores the struct.
    if constexpr (std::is_same_v<Copy, BF16>) copy[i].bits = BF16::round(static_cast<float>(next));
    if constexpr (std::is_same_v<Copy, F16>) copy[i] = F16(static_cast<float>(next));
  }
}

}  // namespace

void global_norm_forward(const std::vector<TensorView>& gradients, const TensorView& norm) {
  const std::vector<Piece> pieces = pieces_of(gradients);
  std::vector<double> sums(pieces.size());
  const auto run = [&]<typename A>(A) {
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < pieces.size(); ++k) {
      const Piece& piece = pieces[k];
      const A* g = gradients[piece.tensor].data<A>();
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = piece.begin; i < piece.end; ++i)
        sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
      sums[k] = sum;
    }
    double total = 0;
    for (const double s : sums) total += s;
    *norm.data<A>() = static_cast<A>(std::sqrt(total));
  };
  norm.dtype == Dtype::F64 ? run(double{}) : run(float{});
}

void adamw_factors_forward(const TensorView& norm, const TensorView& updates, const TensorView& loss_scale,
                           const UpdateRule& rule, const TensorView& factors) {
  const double scale = rule.gradient_scale * (loss_scale ? loss_scale.data<const LossScale>()->inverse : 1.0);
  const double length =
      (norm.dtype == Dtype::F64 ? *norm.data<double>() : static_cast<double>(*norm.data<float>())) * scale;
  auto& out = *factors.data<AdamwFactors>();
  if (!std::isfinite(length)) {
    out = {std::nan(""), 1, 1};
    return;
  }
  const double t = *updates.data<double>() += 1;
  const double clip = rule.clip > 0 ? std::min(1.0, rule.clip / (length + 1e-6)) : 1.0;
  out = {clip * scale, 1 - std::pow(rule.beta1, t), 1 / std::sqrt(1 - std::pow(rule.beta2, t))};
}

void adamw_forward(const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
                   const std::vector<TensorView>& first, const std::vector<TensorView>& second,
                   const std::vector<TensorView>& copies, const std::vector<double>& scales,
                   const std::vector<bool>& decayed, const TensorView& rates, const TensorView& factors,
                   const AdamwConstants& constants) {
  const AdamwFactors step = *factors.data<const AdamwFactors>();
  if (std::isnan(step.gradient)) return;
  const double rate = rates.data<const double>()[0];
  const double decay = rates.data<const double>()[1];
  const std::vector<Piece> pieces = pieces_of(parameters);
#pragma omp parallel for schedule(static)
  for (size_t k = 0; k < pieces.size(); ++k) {
    const auto [t, begin, end] = pieces[k];
    const double own = rate * scales[t];
    const Factors numbers{1 - own * (decayed[t] ? decay : 0), own / step.first_share, step.gradient,
                          step.second_scale};
    const auto run = [&, t = t, begin = begin, end = end]<typename A, typename Copy>(A, Copy* copy) {
      update<A, Copy>(parameters[t].data<A>() + begin, gradients[t].data<A>() + begin,
                      first[t].data<A>() + begin, second[t].data<A>() + begin, copy, end - begin, numbers,
                      constants);
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

}  // namespace cae::cpu
