#include "image/coefficients.h"

#include <cmath>
#include <cstddef>
#include <map>
#include <mutex>
#include <numbers>
#include <string>
#include <tuple>

#include "core/error.h"

// Weights must equal Pillow's to the last bit, so the compiler may not fuse a product and a sum into one
// rounding.
#if defined(__clang__)
#pragma clang fp contract(off)
#define CAE_SEPARATE_ROUNDINGS
#elif defined(__GNUC__)
#define CAE_SEPARATE_ROUNDINGS __attribute__((optimize("fp-contract=off")))
#else
#define CAE_SEPARATE_ROUNDINGS
#endif

namespace cae::image {
namespace {

constexpr size_t kCacheBytes = size_t{16} << 20;
// 255 · 2048 · taps must stay below 2^31.
constexpr int kMostSplitTaps = 4096;

CAE_SEPARATE_ROUNDINGS double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

CAE_SEPARATE_ROUNDINGS double cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

CAE_SEPARATE_ROUNDINGS double evaluate(Filter filter, double x) {
  switch (filter) {
    case Filter::box:
      return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case Filter::bilinear:
      return std::fabs(x) < 1.0 ? 1.0 - std::fabs(x) : 0.0;
    case Filter::hamming: {
      x = std::fabs(x);
      if (x == 0.0) return 1.0;
      if (x >= 1.0) return 0.0;
      x *= std::numbers::pi;
      // The window's two constants are single precision there.
      return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));
    }
    case Filter::bicubic:
      return cubic(x);
    case Filter::lanczos:
      return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
  }
  return 0.0;
}

double radius_of(Filter filter) {
  switch (filter) {
    case Filter::box:
      return 0.5;
    case Filter::bilinear:
    case Filter::hamming:
      return 1.0;
    case Filter::bicubic:
      return 2.0;
    case Filter::lanczos:
      return 3.0;
  }
  return 0.0;
}

// Towards zero, which is how Pillow rounds after adding a half: not what lround does below zero.
int cut(double value) {
  return static_cast<int>(std::trunc(value));
}

CAE_SEPARATE_ROUNDINGS Coefficients compute(int input, int output, Filter filter, Span span) {
  const double scale = static_cast<double>(static_cast<float>(input)) / output;
  const double stretch = scale < 1.0 ? 1.0 : scale;
  const double radius = radius_of(filter) * stretch;
  const double shrink = 1.0 / stretch;

  Coefficients table;
  table.taps = (static_cast<int>(std::ceil(radius)) * 2 + 1 + 3) / 4 * 4;
  table.split = table.taps <= kMostSplitTaps;
  table.first.resize(span.count);
  table.count.resize(span.count);
  table.weight.resize(static_cast<size_t>(span.count) * table.taps);
  std::vector<double> weights(table.taps);
  for (int i = 0; i < span.count; ++i) {
    const double centre = (span.from + i + 0.5) * scale;
    const int first = std::max(0, cut(centre - radius + 0.5));
    const int count = std::min(input, cut(centre + radius + 0.5)) - first;
    double total = 0.0;
    for (int t = 0; t < count; ++t) {
      weights[t] = evaluate(filter, (t + first - centre + 0.5) * shrink);
      total += weights[t];
    }
    int32_t* row = &table.weight[static_cast<size_t>(i) * table.taps];
    for (int t = 0; t < count; ++t) {
      const double w = total != 0.0 ? weights[t] / total : weights[t];
      row[t] = cut((w < 0 ? -0.5 : 0.5) + w * (1 << kWeightBits));
    }
    table.first[i] = first;
    table.count[i] = count;
  }
  if (!table.split) return table;
  table.low.resize(table.weight.size());
  table.high.resize(table.weight.size());
  constexpr int32_t half = 1 << (kLowBits - 1);
  for (size_t i = 0; i < table.weight.size(); ++i) {
    const int32_t low = ((table.weight[i] + half) & (2 * half - 1)) - half;
    table.low[i] = static_cast<int16_t>(low);
    table.high[i] = static_cast<int16_t>((table.weight[i] - low) >> kLowBits);
  }
  return table;
}

using Key = std::tuple<int, int, Filter, int, int>;

struct Cache {
  std::mutex mutex;
  std::map<Key, std::shared_ptr<const Coefficients>> tables;
  size_t bytes = 0;
};

Cache& cache() {
  static Cache instance;
  return instance;
}

}  // namespace

Filter filter_from_name(std::string_view name) {
  if (name == "box") return Filter::box;
  if (name == "bilinear") return Filter::bilinear;
  if (name == "hamming") return Filter::hamming;
  if (name == "bicubic") return Filter::bicubic;
  if (name == "lanczos") return Filter::lanczos;
  fail("imageFilter", "no filter '", std::string(name), "'; give box, bilinear, hamming, bicubic or lanczos");
}

size_t Coefficients::bytes() const {
  return sizeof(*this) + (first.size() + count.size() + weight.size()) * sizeof(int32_t) +
         (low.size() + high.size()) * sizeof(int16_t);
}

std::shared_ptr<const Coefficients> coefficients(int input, int output, Filter filter, Span span) {
  const Key key{input, output, filter, span.from, span.count};
  Cache& kept = cache();
  {
    const std::lock_guard lock(kept.mutex);
    const auto found = kept.tables.find(key);
    if (found != kept.tables.end()) return found->second;
  }
  auto table = std::make_shared<const Coefficients>(compute(input, output, filter, span));
  const size_t bytes = table->bytes();
  const std::lock_guard lock(kept.mutex);
  if (kept.bytes + bytes > kCacheBytes) {
    kept.tables.clear();
    kept.bytes = 0;
  }
  if (bytes <= kCacheBytes && kept.tables.emplace(key, table).second) kept.bytes += bytes;
  return table;
}

}  // namespace cae::image
