#include "cpu/winograd.h"

#include <algorithm>
#include <cstring>

#include "cpu/aligned_room.h"
#include "cpu/panel_kernel.h"

namespace cae::cpu {
namespace {

constexpr int64_t kTile = 4;     // results along a tile's side
constexpr int64_t kWindow = 6;   // what they are computed from
constexpr int64_t kPoints = 36;  // products of a tile: kWindow²
constexpr int64_t kLanes = 16;   // channels transformed at once

// Channels side by side; a compiler without such registers splits them.
using Lanes [[gnu::vector_size(4 * kLanes)]] = float;

inline void load(const float* from, Lanes& to) {
  std::memcpy(&to, from, sizeof to);
}
inline void store(const Lanes& from, float* to) {
  std::memcpy(to, &from, sizeof from);
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

// weight [out,in,3,3] -> at each of the 36 points the panels of a matrix [in, columns], of which `out` are
// filled.
void transform_weight(const float* weight, int64_t in, int64_t out, int64_t columns, float* points) {
#pragma omp for schedule(static)
  for (int64_t o = 0; o < out; o += kLanes) {
    float* column = points + o / kPanelColumns * kPanelColumns * in + o % kPanelColumns;
    for (int64_t c = 0; c < in; ++c) {
      Lanes taps[9], half[3 * kWindow], whole[kPoints];
      for (int64_t l = 0; l < kLanes; ++l)
        for (int64_t k = 0; k < 9; ++k) taps[k][l] = weight[((o + l) * in + c) * 9 + k];
      for (int64_t s = 0; s < 3; ++s) weight_points(taps + s, 3, half + s, 3);
      for (int64_t r = 0; r < kWindow; ++r) weight_points(half + 3 * r, 1, whole + kWindow * r, 1);
      for (int64_t p = 0; p < kPoints; ++p) store(whole[p], column + p * columns * in + c * kPanelColumns);
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

// Sixteen channels of a tile's 6x6 window of x, zeros outside the picture, transformed: at point p into
// points[p · kPanelRows].
void transform_window(const TensorView& x, const Corner& at, int64_t channel, Lanes* points) {
  const int64_t height = x.shape[1];
  const int64_t width = x.shape[2];
  const int64_t channels = x.shape[3];
  const float* picture = x.data<float>() + at.picture * height * width * channels + channel;
  Lanes window[kPoints], half[kPoints];
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
  for (int64_t r = 0; r < kWindow; ++r)
    input_points(half + r * kWindow, 1, points + r * kWindow * kPanelRows, kPanelRows);
}

// A run of channels.
struct Channels {
  int64_t first, count;
};

// Sums of products at the 36 points back to 4x4 results of some channels, those of them that lie in y.
void transform_output(const float* points, int64_t stride, const TensorView& bias, bool relu,
                      const Corner& at, Channels channels, const TensorView& y) {
  const int64_t height = y.shape[1];
  const int64_t width = y.shape[2];
  float* picture = y.data<float>() + at.picture * height * width * y.shape[3] + channels.first;
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

// `whole` split into equal parts, multiples of `unit`, of at most `most` each where that is a unit or more.
int64_t part_of(int64_t whole, int64_t unit, int64_t most) {
  const int64_t parts = panels_in(whole, std::max(most / unit, int64_t{1}) * unit);
  return panels_in(panels_in(whole, parts), unit) * unit;
}

// Numbers that are held at a time: of tiles at all points, near the processor; of transformed weights, in
// memory.
constexpr int64_t kTileNumbers = 2 << 20;
constexpr int64_t kLeastTiles = 10 * kPanelRows;  // that weights are read for
constexpr int64_t kWeightNumbers = 8 << 20;

}  // namespace

bool winograd_applies(const TensorView& x, const TensorView& weight, int64_t stride, int64_t padding) {
  const int64_t in = weight.shape[1];
  const int64_t out = weight.shape[0];
  return x.dtype == Dtype::F32 && weight.shape[2] == 3 && stride == 1 && padding == 1 && in % kLanes == 0 &&
         out % kLanes == 0 && in >= 64 && out >= 64 && tiles_of(x).count() >= 64;
}

void winograd_conv3x3(const TensorView& x, const TensorView& weight, const TensorView& bias, bool relu,
                      const TensorView& y) {
  const int64_t in = weight.shape[1];
  const int64_t out = weight.shape[0];
  const Tiles tiles = tiles_of(y);
  const int64_t columns = part_of(out, kPanelColumns, kWeightNumbers / (kPoints * in));
  const int64_t chunk =
      part_of(tiles.count(), kPanelRows, std::max(kLeastTiles, kTileNumbers / (kPoints * (in + columns))));
  static thread_local AlignedRoom<float> weight_room, input_room, sum_room;
  float* weights = weight_room.of(kPoints * in * columns);
  float* inputs = input_room.of(kPoints * chunk * in);
  float* sums = sum_room.of(kPoints * chunk * columns);
  constexpr float kZeros[kPanelColumns] = {};

#pragma omp parallel
  for (int64_t column = 0; column < out; column += columns) {
    const int64_t channels = std::min(columns, out - column);
    transform_weight(weight.data<float>() + column * in * 9, in, channels, columns, weights);
    for (int64_t start = 0; start < tiles.count(); start += chunk) {
      const int64_t count = std::min(chunk, tiles.count() - start);
      const int64_t panels = panels_in(count, kPanelRows);
      const auto lines = [&](int64_t i) { return std::min(kPanelRows, count - i * kPanelRows); };
#pragma omp for schedule(static)
      for (int64_t i = 0; i < panels; ++i)
        for (int64_t c = 0; c < in; c += kLanes) {
          Lanes points[kPoints * kPanelRows];
          for (int64_t t = 0; t < lines(i); ++t)
            transform_window(x, corner_of(tiles, start + i * kPanelRows + t), c, points + t);
          for (int64_t p = 0; p < kPoints; ++p)
            pack_rows(reinterpret_cast<const float*>(points + p * kPanelRows), kLanes, lines(i), kLanes,
                      lines(i), inputs + (p * chunk + i * kPanelRows) * in + c * lines(i));
        }
#pragma omp for schedule(static)
      for (int64_t p = 0; p < kPoints; ++p)
        for (int64_t j = 0; j < channels; j += kPanelColumns)
          for (int64_t i = 0; i < panels; ++i)
            panel_kernel(Dtype::F32, lines(i))(in, as_words(inputs + (p * chunk + i * kPanelRows) * in),
                                               as_words(weights + (p * columns + j) * in), kZeros, 0,
                                               sums + (p * chunk + i * kPanelRows) * columns + j, columns);
#pragma omp for schedule(static)
      for (int64_t t = 0; t < count; ++t)
        transform_output(sums + t * columns, chunk * columns, bias, relu, corner_of(tiles, start + t),
                         {column, channels}, y);
    }
  }
}

}  // namespace cae::cpu
