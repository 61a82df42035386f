#include "cpu/winograd.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "cpu/aligned_room.h"
#include "cpu/onednn.h"
#include "cpu/panel_form.h"
#include "cpu/winograd_transforms.h"

namespace cae::cpu {
namespace {

// Column panels of the transformed weight at each point: [in, channels], of which some are filled.
struct WeightPanels {
  float* data;
  int64_t in, channels, length;
  bool paired;
  float* panel(int64_t point, int64_t channel) const {
    return data + (point * channels + channel / kPanelColumns * kPanelColumns) * length;
  }
};

// weight [out,in,3,3], `out` of its outputs from `first` on, times `scale`, into the panels.
template <typename W>
void transform_weight(const W* weight, int64_t out, float scale, const WeightPanels& to) {
#pragma omp for schedule(static)
  for (int64_t o = 0; o < out; o += kLanes) {
    Lanes whole[kPoints], before[kPoints], terms[kPoints] = {};
    const auto put = [&](int64_t point, int64_t word, const Lanes& numbers) {
      store(numbers, to.panel(point, o) + word * kPanelColumns + o % kPanelColumns);
    };
    for (int64_t c = 0; c < to.in; ++c) {
      transform_taps(weight + (o * to.in + c) * kTaps, to.in, scale, whole);
      const auto sign = static_cast<float>(block_pair_sign(c));
      for (int64_t p = 0; p < kPoints; ++p) {
        put(p, c, whole[p]);
        if (to.paired && sign != 0) terms[p] += sign * (before[p] * whole[p]);
        before[p] = whole[p];
      }
    }
    if (!to.paired) continue;
    for (int64_t p = 0; p < kPoints; ++p) {
      put(p, to.in, terms[p]);
      put(p, to.in + 1, 1 / scale - Lanes{});
    }
  }
}

// The mean absolute value of some of a tensor's numbers.
template <typename T>
float magnitude(const TensorView& tensor) {
  constexpr int64_t kSamples = 4096;
  const int64_t step = std::max<int64_t>(1, tensor.numel() / kSamples) | 1;
  float sum = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < tensor.numel(); i += step, ++count)
    sum += std::fabs(static_cast<float>(tensor.data<T>()[i]));
  return sum / static_cast<float>(std::max<int64_t>(count, 1));
}

// The power of two that brings transformed weights to the size of transformed inputs, as paired products want
// them: the transforms make inputs some 128 times larger beside weights.
template <typename T, typename W>
float weight_scale(const TensorView& x, const TensorView& weight) {
  constexpr float kGrowth = 128;
  constexpr float kMost = 60;
  const float ratio = kGrowth * magnitude<T>(x) / magnitude<W>(weight);
  if (!(ratio > 0) || std::isinf(ratio)) return 1;
  return std::exp2(std::clamp(std::round(std::log2(ratio)), -kMost, kMost));
}

// `whole` split into equal parts, multiples of `unit`, of at most `most` each where that is a unit or more.
int64_t part_of(int64_t whole, int64_t unit, int64_t most) {
  const int64_t parts = panels_in(whole, std::max(most / unit, int64_t{1}) * unit);
  return panels_in(panels_in(whole, parts), unit) * unit;
}

// Numbers that are held at a time: of tiles at all points, near the processor; of transformed weights, in
// memory.
constexpr int64_t kTileNumbers = 2 << 20;
constexpr int64_t kLeastTiles = 140;  // that weights are read for
constexpr int64_t kWeightNumbers = 8 << 20;

PanelForm form_of(int64_t in) {
  return {Dtype::F32, paired_kernels_apply() && in % (2 * kBlockWords) == 0};
}

template <typename T, typename W>
void convolve(const TensorView& x, const TensorView& weight, const TensorView& bias, bool relu,
              const TensorView& y) {
  const int64_t in = weight.shape[1];
  const int64_t out = weight.shape[0];
  const PanelForm form = form_of(in);
  const int64_t length = form.length(in);
  const Tiles tiles = tiles_of(y);
  const int64_t channels = part_of(out, kPanelColumns, kWeightNumbers / (kPoints * in));
  const int64_t chunk =
      part_of(tiles.count(), form.rows(), std::max(kLeastTiles, kTileNumbers / (kPoints * (in + channels))));
  const bool whole = chunk >= tiles.count();
  static thread_local AlignedRoom<float> weight_room, input_room, sum_room;
  const WeightPanels weights{weight_room.of(kPoints * channels * length), in, channels, length, form.paired};
  float* inputs = input_room.of(kPoints * chunk * length);
  float* sums = sum_room.of(kPoints * chunk * channels);
  const float scale = form.paired ? weight_scale<T, W>(x, weight) : 1;
  constexpr float kZeros[kPanelColumns] = {};

#pragma omp parallel
  for (int64_t first = 0; first < out; first += channels) {
    const Channels some{first, std::min(channels, out - first)};
    transform_weight(weight.data<W>() + first * in * kTaps, some.count, scale, weights);
    for (int64_t start = 0; start < tiles.count(); start += chunk) {
      const int64_t count = std::min(chunk, tiles.count() - start);
      const int64_t panels = panels_in(count, form.rows());
      const auto lines = [&](int64_t i) { return std::min(form.rows(), count - i * form.rows()); };
      const auto input_panel = [&](int64_t p, int64_t i) {
        return inputs + (p * chunk + i * form.rows()) * length;
      };
      if (!whole || first == 0) {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < panels; ++i) {
          for (int64_t c = 0; c < in; c += kLanes)
            for (int64_t t = 0; t < lines(i); ++t)
              transform_window<T>(x, corner_of(tiles, start + i * form.rows() + t), c,
                                  input_panel(0, i) + c * lines(i) + t * kBlockWords, chunk * length);
          if (form.paired)
            for (int64_t p = 0; p < kPoints; ++p) close_paired_blocks(input_panel(p, i), in, lines(i));
        }
      }
#pragma omp for collapse(2) schedule(static)
      for (int64_t p = 0; p < kPoints; ++p)
        for (int64_t j = 0; j < some.count; j += kPanelColumns)
          for (int64_t i = 0; i < panels; ++i)
            form.block_kernel(lines(i))(in, as_words(input_panel(p, i)), as_words(weights.panel(p, j)),
                                        kZeros, 0, sums + (p * chunk + i * form.rows()) * channels + j,
                                        channels);
#pragma omp for schedule(static)
      for (int64_t t = 0; t < count; ++t)
        transform_output<T>(sums + t * channels, chunk * channels, bias, relu, corner_of(tiles, start + t),
                            some, y);
    }
  }
}

}  // namespace

bool winograd_applies(const TensorView& x, const TensorView& weight, int64_t stride, int64_t padding) {
  const int64_t in = weight.shape[1];
  const int64_t out = weight.shape[0];
  static_assert(kBlockWords == kLanes);
  const bool floats = x.dtype == Dtype::F32 && weight.dtype == Dtype::F32;
  const bool halves = x.dtype == Dtype::BF16 && (form_of(in).paired || !onednn_has_halves());
  const int64_t least = floats ? 64 : 256;  // tiles: fewer do not pay for transforming the weight
  return (floats || halves) && weight.shape[2] == 3 && stride == 1 && padding == 1 && in % kLanes == 0 &&
         out % kLanes == 0 && in >= 64 && out >= 64 && tiles_of(x).count() >= least;
}

void winograd_conv3x3(const TensorView& x, const TensorView& weight, const TensorView& bias, bool relu,
                      const TensorView& y) {
  if (x.dtype == Dtype::F32)
    convolve<float, float>(x, weight, bias, relu, y);
  else if (weight.dtype == Dtype::F32)
    convolve<BF16, float>(x, weight, bias, relu, y);
  else
    convolve<BF16, BF16>(x, weight, bias, relu, y);
}

}  // namespace cae::cpu
