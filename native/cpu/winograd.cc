#include "cpu/winograd.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "cpu/gemm.h"

namespace cae::cpu {
namespace {

constexpr int64_t kTile = 4;     // results along a tile's side
constexpr int64_t kWindow = 6;   // what they are computed from
constexpr int64_t kPoints = 36;  // products of a tile: kWindow²
constexpr int64_t kLanes = 16;   // channels transformed at once
constexpr int64_t kBlock = 64;   // tiles of a thread's block: rows of its products

using Lanes = float[kLanes];

// One dimension of the input's transform: out = Bᵀ·in, six numbers each, `step` lanes apart.
inline void input_points(const Lanes* in, int64_t in_step, Lanes* out, int64_t out_step) {
  for (int64_t l = 0; l < kLanes; ++l) {
    const float a = in[0][l];
    const float b = in[in_step][l];
    const float c = in[2 * in_step][l];
    const float d = in[3 * in_step][l];
    const float e = in[4 * in_step][l];
    const float f = in[5 * in_step][l];
    out[0][l] = 4 * a - 5 * c + e;
    out[out_step][l] = (d + e) - 4 * (b + c);
    out[2 * out_step][l] = (e - d) + 4 * (b - c);
    out[3 * out_step][l] = (e - c) + 2 * (d - b);
    out[4 * out_step][l] = (e - c) - 2 * (d - b);
    out[5 * out_step][l] = 4 * b - 5 * d + f;
  }
}

// One dimension of the results' transform: out = Aᵀ·in, four numbers from six.
inline void output_points(const Lanes* in, int64_t in_step, Lanes* out, int64_t out_step) {
  for (int64_t l = 0; l < kLanes; ++l) {
    const float p = in[in_step][l] + in[2 * in_step][l];
    const float m = in[in_step][l] - in[2 * in_step][l];
    const float q = in[3 * in_step][l] + in[4 * in_step][l];
    const float n = in[3 * in_step][l] - in[4 * in_step][l];
    out[0][l] = in[0][l] + p + q;
    out[out_step][l] = m + 2 * n;
    out[2 * out_step][l] = p + 4 * q;
    out[3 * out_step][l] = m + 8 * n + in[5 * in_step][l];
  }
}

// One dimension of the weight's transform: six numbers G·g from three.
inline void weight_points(const float* g, int64_t step, float* out, int64_t out_step) {
  const float even = g[0] + g[2 * step];
  const float wide = g[0] + 4 * g[2 * step];
  out[0] = g[0] / 4;
  out[out_step] = -(even + g[step]) / 6;
  out[2 * out_step] = -(even - g[step]) / 6;
  out[3 * out_step] = (wide + 2 * g[step]) / 24;
  out[4 * out_step] = (wide - 2 * g[step]) / 24;
  out[5 * out_step] = g[2 * step];
}

// weight [out,in,3,3] -> [36][in][out].
void transform_weight(const float* weight, int64_t in, int64_t out, float* points) {
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < in; ++c) {
    for (int64_t o = 0; o < out; ++o) {
      const float* g = weight + (o * in + c) * 9;
      float half[3 * kWindow], whole[kPoints];
      for (int64_t s = 0; s < 3; ++s) weight_points(g + s, 3, half + s, 3);
      for (int64_t r = 0; r < kWindow; ++r) weight_points(half + 3 * r, 1, whole + kWindow * r, 1);
      for (int64_t p = 0; p < kPoints; ++p) points[(p * in + c) * out + o] = whole[p];
    }
  }
}

struct Tiles {
  int64_t batch, rows, columns;
  int64_t count() const { return batch * rows * columns; }
};
Tiles tiles_of(const TensorView& pictures) {
  const auto along = [](int64_t n) { return (n + kTile - 1) / kTile; };
  return {pictures.shape[0], along(pictures.shape[1]), along(pictures.shape[2])};
}

// Where a tile's 4x4 results start.
struct Corner {
  int64_t picture, row, column;
};
Corner corner_of(const Tiles& tiles, int64_t tile) {
  const int64_t in_picture = tile % (tiles.rows * tiles.columns);
  return {tile / (tiles.rows * tiles.columns), in_picture / tiles.columns * kTile,
          in_picture % tiles.columns * kTile};
}

// The tile's 6x6 window of x, zeros outside the picture, transformed into points[p·stride + channel].
void transform_input(const TensorView& x, const Corner& at, float* points, int64_t stride) {
  const int64_t height = x.shape[1];
  const int64_t width = x.shape[2];
  const int64_t channels = x.shape[3];
  const float* picture = x.data<float>() + at.picture * height * width * channels;
  for (int64_t c = 0; c < channels; c += kLanes) {
    Lanes window[kPoints], half[kPoints];
    for (int64_t r = 0; r < kWindow; ++r)
      for (int64_t s = 0; s < kWindow; ++s) {
        const int64_t row = at.row - 1 + r;
        const int64_t column = at.column - 1 + s;
        float* to = window[r * kWindow + s];
        if (row < 0 || row >= height || column < 0 || column >= width)
          std::fill_n(to, kLanes, 0.f);
        else
          std::copy_n(picture + (row * width + column) * channels + c, kLanes, to);
      }
    for (int64_t s = 0; s < kWindow; ++s) input_points(window + s, kWindow, half + s, kWindow);
    for (int64_t r = 0; r < kWindow; ++r) input_points(half + r * kWindow, 1, window + r * kWindow, 1);
    for (int64_t p = 0; p < kPoints; ++p) std::copy_n(window[p], kLanes, points + p * stride + c);
  }
}

// Sums of products at the 36 points back to 4x4 results, those of them that lie in y.
void transform_output(const float* points, int64_t stride, const float* bias, bool relu, const Corner& at,
                      const TensorView& y) {
  const int64_t height = y.shape[1];
  const int64_t width = y.shape[2];
  const int64_t channels = y.shape[3];
  float* picture = y.data<float>() + at.picture * height * width * channels;
  const float least = relu ? 0.f : -std::numeric_limits<float>::infinity();
  for (int64_t c = 0; c < channels; c += kLanes) {
    Lanes sums[kPoints], half[kTile * kWindow], results[kTile * kTile];
    for (int64_t p = 0; p < kPoints; ++p) std::copy_n(points + p * stride + c, kLanes, sums[p]);
    for (int64_t s = 0; s < kWindow; ++s) output_points(sums + s, kWindow, half + s, kWindow);
    for (int64_t r = 0; r < kTile; ++r) output_points(half + r * kWindow, 1, results + r * kTile, 1);
    for (int64_t r = 0; r < std::min(kTile, height - at.row); ++r)
      for (int64_t s = 0; s < std::min(kTile, width - at.column); ++s) {
        float* to = picture + ((at.row + r) * width + at.column + s) * channels + c;
        const float* from = results[r * kTile + s];
        for (int64_t l = 0; l < kLanes; ++l) {
          const float value = from[l] + (bias ? bias[c + l] : 0.f);
          to[l] = value < least ? least : value;  // a NaN stays
        }
      }
  }
}

}  // namespace

bool winograd_applies(const TensorView& x, const TensorView& weight, int64_t stride, int64_t padding) {
  const int64_t in = weight.shape[1];
  const int64_t out = weight.shape[0];
  return x.dtype == Dtype::F32 && weight.shape[2] == 3 && stride == 1 && padding == 1 && in % kLanes == 0 &&
         out % kLanes == 0 && in >= 64 && out >= 64 && tiles_of(x).count() >= 4 * kBlock;
}

void winograd_conv3x3(const TensorView& x, const TensorView& weight, const TensorView& bias, bool relu,
                      const TensorView& y) {
  const int64_t in = weight.shape[1];
  const int64_t out = weight.shape[0];
  const Tiles tiles = tiles_of(y);
  static thread_local std::vector<float> points;
  points.resize(static_cast<size_t>(kPoints * in * out));
  transform_weight(weight.data<float>(), in, out, points.data());

  const int64_t blocks = (tiles.count() + kBlock - 1) / kBlock;
  const float* weights = points.data();
#pragma omp parallel
  {
    static thread_local std::vector<float> inputs, sums;
    inputs.resize(static_cast<size_t>(kPoints * kBlock * in));
    sums.resize(static_cast<size_t>(kPoints * kBlock * out));
#pragma omp for schedule(static)
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t first = b * kBlock;
      const int64_t count = std::min(kBlock, tiles.count() - first);
      for (int64_t t = 0; t < count; ++t)
        transform_input(x, corner_of(tiles, first + t), inputs.data() + t * in, kBlock * in);
      for (int64_t p = 0; p < kPoints; ++p)
        blas_gemm(false, false, count, out, in, 1.f, inputs.data() + p * kBlock * in, in,
                  weights + p * in * out, out, 0.f, sums.data() + p * kBlock * out, out);
      for (int64_t t = 0; t < count; ++t)
        transform_output(sums.data() + t * out, kBlock * out, bias.data<float>(), relu,
                         corner_of(tiles, first + t), y);
    }
  }
}

}  // namespace cae::cpu
