#include "core/draws.h"
#include "core/rectangle.h"
#include "cuda/dispatch.h"
#include "cuda/tile.h"
#include "ops/augment.h"

namespace cae::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kDraw = NormalsDraw::kNumbers;

enum Fill : int64_t { kZeros = 0, kColour = 1, kPixel = 2 };

template <typename T>
struct EraseBoxes {
  T* images;
  const int32_t* boxes;
  const int32_t* ids;
  int64_t channels, height, width, count, fill;
  NormalsDraw draw;

  // The last box of a picture that covers a pixel; −1 for none.
  __device__ int64_t box_of(int64_t b, int64_t y, int64_t x) const {
    for (int64_t k = count - 1; k >= 0; --k) {
      const Rectangle box(boxes + (b * count + k) * 4, height, width);
      if (box.has_row(y) && box.has_column(x)) return k;
    }
    return -1;
  }
};

// A thread has the kDraw neighbours of a picture that share a draw of noise.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    erase_boxes_kernel(int64_t size, const __grid_constant__ EraseBoxes<T> e) {
  const int64_t b = blockIdx.y;
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const uint64_t first = (static_cast<uint64_t>(static_cast<uint32_t>(e.ids[b])) << 32) / kDraw;
  std::array<float, kDraw> noise{};
  bool drawn = false;
#pragma unroll
  for (int i = 0; i < kDraw; ++i) {
    const int64_t at = group * kDraw + i;
    if (at >= size) return;
    const int64_t box = e.box_of(b, at / e.width % e.height, at % e.width);
    if (box < 0) continue;
    float value = 0;
    if (e.fill == kPixel) {
      if (!drawn) noise = e.draw(first + static_cast<uint64_t>(group));
      drawn = true;
      value = noise[i];
    } else if (e.fill == kColour) {
      const int64_t colour = box * e.channels + at / (e.height * e.width);
      const auto normals = e.draw(first + static_cast<uint64_t>(colour / kDraw));
#pragma unroll
      for (int j = 0; j < kDraw; ++j)
        if (colour % kDraw == j) value = normals[j];
    }
    e.images[b * size + at] = T(value);
  }
}

// Row y of a plane: share·own + (1 − share)·other, and the partner's alone within the box.
template <typename T>
struct MixImages {
  using A = Acc<T>;
  const T* x;
  const int32_t* partner;
  const A* weight;
  const int32_t* boxes;
  T* y;
  int64_t batch, channels, height, width;
  Fault* fault;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const int64_t plane = quotient(row, height);
    const int64_t b = quotient(plane, channels);
    const int64_t p = partner[b];
    if (p < 0 || p >= batch) {
      report(fault, Fault::MixImagesPartner, p, b, batch);
      return;
    }
    const A share = weight[b];
    const Rectangle box(boxes + b * 4, height, width);
    const bool boxed = box.has_row(remainder_of(row, height));
    auto value = load<N>(x + row * width + column);
    if (share != 1 || boxed) {
      const int64_t there = ((p - b) * channels * height + row) * width + column;
      const auto other = load<N>(x + there);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        if (boxed && box.has_column(column + i))
          value.at[i] = other.at[i];
        else if (share != 1)
          value.at[i] = value.at[i] * share + other.at[i] * (1 - share);
      }
    }
    store<N>(y + row * width + column, value);
  }
};

}  // namespace

void erase_boxes_forward(const TensorView& images, const TensorView& boxes, const TensorView& ids,
                         int64_t fill, double seed, int64_t stream, int64_t step) {
  constexpr auto op = "erase_boxes";
  const int64_t batch = images.shape[0];
  if (images.numel() == 0) return;
  check(batch < 65536, op, "a batch of ", batch, " is more than the kernel takes; lower --batch_size");
  const int64_t size = images.numel() / batch;
  dispatch_real(images.dtype, op, [&]<typename T>(T) {
    const EraseBoxes<T> e{
        images.data<T>(),
        boxes.data<int32_t>(),
        ids.data<int32_t>(),
        images.shape[1],
        images.shape[2],
        images.shape[3],
        boxes.shape[1],
        fill,
        {{static_cast<uint64_t>(seed), static_cast<uint32_t>(stream), static_cast<uint32_t>(step)}}};
    launch(op, &erase_boxes_kernel<T>,
           dim3(blocks_for(size, int64_t{kThreads} * kDraw), static_cast<unsigned>(batch)), dim3(kThreads), 0,
           size, e);
  });
}

void mix_images_forward(const TensorView& x, const TensorView& partner, const TensorView& weight,
                        const TensorView& boxes, const TensorView& y) {
  const int64_t width = x.shape[3];
  dispatch_real(x.dtype, "mix_images", [&]<typename T>(T) {
    const MixImages<T> body{x.data<T>(),
                            partner.data<int32_t>(),
                            weight.data<Acc<T>>(),
                            boxes.data<int32_t>(),
                            y.data<T>(),
                            x.shape[0],
                            x.shape[1],
                            x.shape[2],
                            width,
                            fault_of_device()};
    over_tiles<kWidth<T>>("mix_images", x.shape.rows(), width, moves_by<kWidth<T>>(width, body.x, body.y),
                          body);
  });
}

}  // namespace cae::cuda
