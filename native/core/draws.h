#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/philox.h"

// What is drawn from Philox's numbers: one definition for the CPU's loops and the kernels.
namespace cae {

// Uniform in [low, high).
struct UniformDraw {
  Philox draw;
  double low, high;
  CAE_HOST_DEVICE double operator()(uint64_t index) const {
    return low + (high - low) * static_cast<double>(draw.uniform(index));
  }
};

// A Gumbel variable: −log(−log u).
struct GumbelDraw {
  Philox draw;
  CAE_HOST_DEVICE double operator()(uint64_t index) const {
    return -std::log(-std::log(draw.uniform_open(index)));
  }
};

// A factor of stochastic depth: 0 with probability `rate`, else 1/(1 − rate).
struct DropPathDraw {
  Philox draw;
  float rate, kept;
  DropPathDraw(Philox philox, double r)
      : draw(philox), rate(static_cast<float>(r)), kept(static_cast<float>(1 / (1 - r))) {}
  CAE_HOST_DEVICE float operator()(uint64_t index) const { return draw.uniform(index) < rate ? 0.f : kept; }
};

// Inverse of the normal distribution function (Acklam's approximation with one Halley step: full double
// precision).
CAE_HOST_DEVICE inline double normal_quantile(double p) {
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                                 1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                                 6.680131188771972e+01, -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                                 -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                                 3.754408661907416e+00};
  const bool below = p < 0.02425;
  double x = 0;
  if (below || p > 1 - 0.02425) {
    const double q = std::sqrt(-2 * std::log(below ? p : 1 - p));
    const double tail = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
                        ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    x = below ? tail : -tail;
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

// Four standard normal numbers of one draw: two of Box and Muller's pairs.
struct NormalsDraw {
  static constexpr int kNumbers = 4;
  Philox draw;
  CAE_HOST_DEVICE std::array<float, kNumbers> operator()(uint64_t index) const {
    const auto words = draw(index);
    std::array<float, kNumbers> normals{};
    for (int pair = 0; pair < 2; ++pair) {
      const float u = (static_cast<float>(words[2 * pair]) + 0.5f) * 0x1p-32f;
      const float angle = static_cast<float>(words[2 * pair + 1]) * (0x1p-31f * std::numbers::pi_v<float>);
      const float radius = std::sqrt(-2 * std::log(u));
      normals[2 * pair] = radius * std::cos(angle);
      normals[2 * pair + 1] = radius * std::sin(angle);
    }
    return normals;
  }
};

// Normal with mean 0 and the deviation, cut at ±cut, by inversion.
struct TruncatedNormalDraw {
  Philox draw;
  double deviation, cut, below;
  TruncatedNormalDraw(Philox philox, double d, double limit)
      : draw(philox), deviation(d), cut(limit), below(0.5 * std::erfc(limit / d / std::numbers::sqrt2)) {}
  CAE_HOST_DEVICE double operator()(uint64_t index) const {
    const double value = deviation * normal_quantile(below + (1 - 2 * below) * draw.uniform_open(index));
    return value < -cut ? -cut : (value > cut ? cut : value);
  }
};

}  // namespace cae
