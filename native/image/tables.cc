#include "image/tables.h"

#include <algorithm>

namespace cae::image {
namespace {

using Histogram = std::array<int64_t, 256>;

std::array<Histogram, 3> histograms(const Picture& picture) {
  // Two counts of each value: neighbours are often alike, and an increment waits for the one before it.
  static constexpr int kCopies = 2;
  std::array<std::array<uint32_t, 256>, 3 * kCopies> counts{};
  for (int y = 0; y < picture.size.height; ++y) {
    const uint8_t* pixel = picture.row(y);
    for (int x = 0; x < picture.size.width; ++x, pixel += 4)
      for (int c = 0; c < 3; ++c) ++counts[3 * (x % kCopies) + c][pixel[c]];
  }
  std::array<Histogram, 3> sums;
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v) sums[c][v] = int64_t{counts[c][v]} + counts[3 + c][v];
  return sums;
}

// value(v) for each v, the same for all channels.
template <typename Value>
Tables alike(Value&& value) {
  Tables tables;
  for (int v = 0; v < 256; ++v) tables[0][v] = static_cast<uint8_t>(value(v));
  tables[1] = tables[2] = tables[0];
  return tables;
}

constexpr auto unchanged = [](int v) { return v; };

}  // namespace

Tables auto_contrast_tables(const Picture& picture) {
  Tables tables = alike(unchanged);
  const auto counts = histograms(picture);
  for (int c = 0; c < 3; ++c) {
    int low = 0, high = 255;
    while (low < 255 && counts[c][low] == 0) ++low;
    while (high > 0 && counts[c][high] == 0) --high;
    if (high <= low) continue;
    const double scale = 255.0 / (high - low);
    const double offset = -low * scale;
    for (int v = 0; v < 256; ++v)
      tables[c][v] = static_cast<uint8_t>(std::clamp(v * scale + offset, 0.0, 255.0));
  }
  return tables;
}

Tables equalize_tables(const Picture& picture) {
  Tables tables = alike(unchanged);
  const auto counts = histograms(picture);
  const int64_t pixels = int64_t{picture.size.height} * picture.size.width;
  for (int c = 0; c < 3; ++c) {
    int last = 255;
    while (last > 0 && counts[c][last] == 0) --last;
    const int64_t step = (pixels - counts[c][last]) / 255;
    if (step == 0) continue;
    int64_t below = step / 2;
    for (int v = 0; v < 256; ++v) {
      tables[c][v] = static_cast<uint8_t>(std::min<int64_t>(255, below / step));
      below += counts[c][v];
    }
  }
  return tables;
}

Tables invert_tables() {
  return alike([](int v) { return 255 - v; });
}

Tables posterize_tables(int bits) {
  return alike([bits](int v) { return v & ~((1 << (8 - bits)) - 1); });
}

Tables solarize_tables(int threshold) {
  return alike([threshold](int v) { return v < threshold ? v : 255 - v; });
}

Tables solarize_add_tables(int add) {
  return alike([add](int v) { return v < 128 ? std::min(255, v + add) : v; });
}

void look_up(const Picture& picture, const Tables& tables) {
  for (int y = 0; y < picture.size.height; ++y) {
    uint8_t* pixel = picture.row(y);
    for (int x = 0; x < picture.size.width; ++x, pixel += 4)
      for (int c = 0; c < 3; ++c) pixel[c] = tables[c][pixel[c]];
  }
}

}  // namespace cae::image
