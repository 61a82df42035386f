#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/tensor.h"

// The transforms of Winograd's F(4x4, 3x3) (Lavin & Gray, "Fast algorithms for convolutional neural
// networks", 2016), of sixteen channels at once: of a tile's window to 36 points, of a weight's taps to the
// same, and of the points' products back to 4x4 results.
namespace cae::cpu {

constexpr int64_t kTile = 4;     // results along a tile's side
constexpr int64_t kWindow = 6;   // what they are computed from
constexpr int64_t kPoints = 36;  // products of a tile: kWindow²
constexpr int64_t kTaps = 9;
constexpr int64_t kLanes = 16;  // channels transformed at once

// Channels side by side; a compiler without such registers splits them.
using Lanes [[gnu::vector_size(4 * kLanes)]] = float;

inline void load(const float* from, Lanes& to) {
  std::memcpy(&to, from, sizeof to);
}
inline void store(const Lanes& from, float* to) {
  std::memcpy(to, &from, sizeof from);
}

using LaneBits [[gnu::vector_size(4 * kLanes)]] = uint32_t;
using LaneHalves [[gnu::vector_size(2 * kLanes)]] = uint16_t;
inline void load(const BF16* from, Lanes& to) {
  LaneHalves halves;
  std::memcpy(&halves, from, sizeof halves);
  to = reinterpret_cast<Lanes>(__builtin_convertvector(halves, LaneBits) << 16);
}
// As BF16::round does.
inline void store(const Lanes& from, BF16* to) {
  const auto bits = reinterpret_cast<LaneBits>(from);
  const LaneBits rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const LaneBits kept = (bits & 0x7fffffffU) > 0x7f800000U ? (bits >> 16) | 0x40U : rounded;
  const LaneHalves halves = __builtin_convertvector(kept, LaneHalves);
  std::memcpy(static_cast<void*>(to), &halves, sizeof halves);
}

// One dimension of the input's transform: out = Bᵀ·in, six numbers each, `step` apart.
inline void input_points(const Lanes* in, int64_t in_step, Lanes* out, int64_t out_step) {
  const Lanes a = in[0], b = in[in_step], c = in[2 * in_step];
  const Lanes d = in[3 * in_step], e = in[4 * in_step], f = in[5 * in_step];
  out[0] = 4 * a - 5 * c + e;
  out[out_step] = (d + e) - 4 * (b + c);
  out[2 * out_step] = (e - d) + 4 * (b - c);
  out[3 * out_step] = (e - c) + 2 * (d - b);
  out[4 * out_step] = (e - c) - 2 * (d - b);
  out[5 * out_step] = 4 * b - 5 * d + f;
}

// One dimension of the results' transform: out = Aᵀ·in, four numbers from six.
inline void output_points(const Lanes* in, int64_t in_step, Lanes* out, int64_t out_step) {
  const Lanes p = in[in_step] + in[2 * in_step];
  const Lanes m = in[in_step] - in[2 * in_step];
  const Lanes q = in[3 * in_step] + in[4 * in_step];
  const Lanes n = in[3 * in_step] - in[4 * in_step];
  out[0] = in[0] + p + q;
  out[out_step] = m + 2 * n;
  out[2 * out_step] = p + 4 * q;
  out[3 * out_step] = m + 8 * n + in[5 * in_step];
}

// One dimension of the weight's transform: six numbers G·g from three.
inline void weight_points(const Lanes* g, int64_t step, Lanes* out, int64_t out_step) {
  const Lanes even = g[0] + g[2 * step];
  const Lanes wide = g[0] + 4 * g[2 * step];
  const Lanes middle = g[step];
  out[0] = g[0] * 0.25F;
  out[out_step] = (even + middle) * (-1.F / 6);
  out[2 * out_step] = (even - middle) * (-1.F / 6);
  out[3 * out_step] = (wide + 2 * middle) * (1.F / 24);
  out[4 * out_step] = (wide - 2 * middle) * (1.F / 24);
  out[5 * out_step] = g[2 * step];
}

struct Tiles {
  int64_t batch, rows, columns;
  int64_t count() const { return batch * rows * columns; }
};
inline Tiles tiles_of(const TensorView& pictures) {
  const auto along = [](int64_t n) { return (n + kTile - 1) / kTile; };
  return {pictures.shape[0], along(pictures.shape[1]), along(pictures.shape[2])};
}

// Where a tile's 4x4 results start.
struct Corner {
  int64_t picture, row, column;
};
inline Corner corner_of(const Tiles& tiles, int64_t tile) {
  const int64_t in_picture = tile % (tiles.rows * tiles.columns);
  return {tile / (tiles.rows * tiles.columns), in_picture / tiles.columns * kTile,
          in_picture % tiles.columns * kTile};
}

// Sixteen channels of a tile's 6x6 window of x, zeros outside the picture, transformed: point p to
// points + p · step.
template <typename T>
void transform_window(const TensorView& x, const Corner& at, int64_t channel, float* points, int64_t step) {
  const int64_t height = x.shape[1];
  const int64_t width = x.shape[2];
  const int64_t channels = x.shape[3];
  const T* picture = x.data<T>() + at.picture * height * width * channels + channel;
  Lanes window[kPoints], half[kPoints], whole[kPoints];
  for (int64_t r = 0; r < kWindow; ++r)
    for (int64_t s = 0; s < kWindow; ++s) {
      const int64_t row = at.row - 1 + r;
      const int64_t column = at.column - 1 + s;
      Lanes& to = window[r * kWindow + s];
      if (row < 0 || row >= height || column < 0 || column >= width)
        to = Lanes{};
      else
        load(picture + (row * width + column) * channels, to);
    }
  for (int64_t s = 0; s < kWindow; ++s) input_points(window + s, kWindow, half + s, kWindow);
  for (int64_t r = 0; r < kWindow; ++r) input_points(half + r * kWindow, 1, whole + r * kWindow, 1);
  for (int64_t p = 0; p < kPoints; ++p) store(whole[p], points + p * step);
}

// The taps [16 outputs, one input] of weight [out,in,3,3], times `scale`, transformed.
template <typename T>
void transform_taps(const T* weight, int64_t in, float scale, Lanes (&whole)[kPoints]) {
  Lanes taps[kTaps], half[3 * kWindow];
  for (int64_t l = 0; l < kLanes; ++l)
    for (int64_t k = 0; k < kTaps; ++k) taps[k][l] = static_cast<float>(weight[l * in * kTaps + k]) * scale;
  for (int64_t s = 0; s < 3; ++s) weight_points(taps + s, 3, half + s, 3);
  for (int64_t r = 0; r < kWindow; ++r) weight_points(half + 3 * r, 1, whole + kWindow * r, 1);
}

// A run of channels.
struct Channels {
  int64_t first, count;
};

// Sums of products at the 36 points back to 4x4 results of some channels, those of them that lie in y.
template <typename T>
void transform_output(const float* points, int64_t stride, const TensorView& bias, bool relu,
                      const Corner& at, Channels channels, const TensorView& y) {
  const int64_t height = y.shape[1];
  const int64_t width = y.shape[2];
  T* picture = y.data<T>() + at.picture * height * width * y.shape[3] + channels.first;
  const float* shift = bias ? bias.data<float>() + channels.first : nullptr;
  for (int64_t c = 0; c < channels.count; c += kLanes) {
    Lanes sums[kPoints], half[kTile * kWindow], results[kTile * kTile], added{};
    for (int64_t p = 0; p < kPoints; ++p) load(points + p * stride + c, sums[p]);
    if (shift) load(shift + c, added);
    for (int64_t s = 0; s < kWindow; ++s) output_points(sums + s, kWindow, half + s, kWindow);
    for (int64_t r = 0; r < kTile; ++r) output_points(half + r * kWindow, 1, results + r * kTile, 1);
    for (int64_t r = 0; r < std::min(kTile, height - at.row); ++r)
      for (int64_t s = 0; s < std::min(kTile, width - at.column); ++s) {
        Lanes& result = results[r * kTile + s];
        result += added;
        if (relu) result = result < 0.f ? Lanes{} : result;  // a NaN stays
        store(result, picture + ((at.row + r) * width + at.column + s) * y.shape[3] + c);
      }
  }
}

}  // namespace cae::cpu
