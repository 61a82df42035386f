#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "cuda/row_sums.h"
#include "ops/tokens.h"

namespace cae::cuda {
namespace {

// kPixels neighbouring pixels a thread: 3·kPixels bytes in, and out by planes or interleaved.
template <int kPixels, typename T>
__global__ void __launch_bounds__(kElementThreads)
    normalize_images_kernel(int64_t groups, int64_t area, const uint8_t* pixels, const float* mean,
                            const float* deviation, bool channels_last, T* y) {
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (group >= groups) return;
  const int64_t first = group * kPixels;
  alignas(4) uint8_t bytes[3 * kPixels];
#pragma unroll
  for (int i = 0; i < 3; ++i)
    *reinterpret_cast<Pack<uint8_t, kPixels>*>(bytes + i * kPixels) =
        *reinterpret_cast<const Pack<uint8_t, kPixels>*>(pixels + 3 * first + i * kPixels);
  // As torch does it: x/255 first.
  float value[3 * kPixels];
#pragma unroll
  for (int i = 0; i < 3 * kPixels; ++i)
    value[i] = (static_cast<float>(bytes[i]) / 255.f - mean[i % 3]) / deviation[i % 3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    Pack<Acc<T>, kPixels> out;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) out.at[i] = value[channels_last ? c * kPixels + i : 3 * i + c];
    const int64_t image = first / area;
    store<kPixels>(channels_last ? y + 3 * first + c * kPixels : y + (image * 3 + c) * area + first % area,
                   out);
  }
}

// Row i is patch ids[i] of image i/count; column (c, r, x) of a row is its pixel.
template <typename X, typename Y>
struct UnfoldPatches {
  const X* images;
  const int32_t* ids;
  Y* y;
  int64_t count, channels, height, width, patch, patches;
  Fault* fault;
  template <int N>
  __device__ int64_t prepare(int64_t column) const {
    const int64_t c = column / (patch * patch);
    const int64_t r = column / patch % patch;
    return (c * height + r) * width + column % patch;
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, int64_t within, float (&)[1][N]) const {
    const int64_t id = ids[row];
    if (id < 0 || id >= patches) {
      report(fault, Fault::UnfoldPatchesIndex, id, row, patches);
      return;
    }
    const int64_t per_row = width / patch;
    const X* patch_at = images + quotient(row, count) * channels * height * width +
                        quotient(id, per_row) * patch * width + remainder_of(id, per_row) * patch;
    store<N>(y + row * channels * patch * patch + column, load<N>(patch_at + within));
  }
};

template <typename X, typename Y>
struct EmbedTokens {
  const X* x;
  const Y* first;
  const Y* positions;
  const int32_t* ids;
  Y* y;
  int64_t tokens, front, columns, rows;
  Fault* fault;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const int64_t b = quotient(row, tokens);
    const int64_t token = remainder_of(row, tokens) - front;
    Pack<Acc<Y>, N> sum;
    int64_t position = 0;
    if (token < 0) {
      sum = load<N>(first + column);
    } else {
      const int64_t from = b * (tokens - front) + token;
      position = 1 + static_cast<int64_t>(ids[from]);
      if (position < 0 || position >= rows) {
        report(fault, Fault::EmbedTokensIndex, position, row, rows);
        return;
      }
      sum = load<N>(x + from * columns + column);
    }
    const auto add = load<N>(positions + position * columns + column);
#pragma unroll
    for (int i = 0; i < N; ++i) sum.at[i] += add.at[i];
    store<N>(y + row * columns + column, sum);
  }
};

// Tokens [from_start, …) of each of the batch's [from_tokens, columns] to [to_start, …) of its [to_tokens,
// columns].
template <typename X, typename Y>
struct MoveTokens {
  const X* from;
  Y* to;
  int64_t count, from_tokens, from_start, to_tokens, to_start, columns;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const int64_t b = quotient(row, count);
    const int64_t token = remainder_of(row, count);
    const auto values = load<N>(from + (b * from_tokens + from_start + token) * columns + column);
    store<N>(to + (b * to_tokens + to_start + token) * columns + column, values);
  }
};

template <typename T>
struct ZeroTokens {
  T* y;
  int64_t count, tokens, start, columns;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    store<N>(y + (quotient(row, count) * tokens + start + remainder_of(row, count)) * columns + column,
             Pack<Acc<T>, N>{});
  }
};

template <typename T>
struct GatherRows {
  const T* table;
  const int32_t* ids;
  T* y;
  int64_t offset, rows, columns;
  Fault* fault;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const int64_t id = offset + ids[row];
    if (id < 0 || id >= rows)
      report(fault, Fault::GatherRowsIndex, id, row, rows);
    else
      *reinterpret_cast<Pack<T, N>*>(y + row * columns + column) =
          *reinterpret_cast<const Pack<T, N>*>(table + id * columns + column);
  }
};

template <typename X, typename Y>
struct RepeatToken {
  const X* token;
  Y* y;
  int64_t columns;
  template <int N>
  __device__ Pack<Acc<X>, N> prepare(int64_t column) const {
    return load<N>(token + column);
  }
  template <int N>
  __device__ void row(int64_t row, int64_t column, const Pack<Acc<X>, N>& values, float (&)[1][N]) const {
    store<N>(y + row * columns + column, values);
  }
};

}  // namespace

void normalize_images_forward(const TensorView& pixels, const TensorView& mean, const TensorView& deviation,
                              bool channels_last, const TensorView& y) {
  const int64_t area = pixels.shape[1] * pixels.shape[2];
  const int64_t n = pixels.shape[0] * area;
  if (n == 0) return;
  dispatch_real(y.dtype, "normalize_images", [&]<typename T>(T) {
    with_width<4>(
        moves_by<4>(area, pixels.data<uint8_t>(), y.data<T>()), [&]<int P>(std::integral_constant<int, P>) {
          launch("normalize_images", &normalize_images_kernel<P, T>, dim3(blocks_for(n / P, kElementThreads)),
                 dim3(kElementThreads), 0, n / P, area, pixels.data<uint8_t>(), mean.data<float>(),
                 deviation.data<float>(), channels_last, y.data<T>());
        });
  });
}

void unfold_patches_forward(const TensorView& images, int64_t patch, const TensorView& ids,
                            const TensorView& y) {
  const int64_t height = images.shape[2];
  const int64_t width = images.shape[3];
  dispatch_reals(images.dtype, y.dtype, "unfold_patches", [&]<typename X, typename Y>(X, Y) {
    const UnfoldPatches<X, Y> body{images.data<X>(),
                                   ids.data<int32_t>(),
                                   y.data<Y>(),
                                   ids.shape[1],
                                   images.shape[1],
                                   height,
                                   width,
                                   patch,
                                   (width / patch) * (height / patch),
                                   fault_of_device()};
    // Rows of a patch begin at multiples of its side, and so must the packs.
    const bool wide = moves_by<kWidth<X, Y>>(patch, body.images, body.y);
    over_tiles<kWidth<X, Y>>("unfold_patches", ids.numel(), y.shape[2], wide, body);
  });
}

void embed_tokens_forward(const TensorView& x, const TensorView& first, const TensorView& positions,
                          const TensorView& ids, const TensorView& y) {
  const int64_t columns = x.shape[2];
  dispatch_reals(x.dtype, y.dtype, "embed_tokens", [&]<typename X, typename Y>(X, Y) {
    const EmbedTokens<X, Y> body{x.data<X>(),
                                 first.data<Y>(),
                                 positions.data<Y>(),
                                 ids.data<int32_t>(),
                                 y.data<Y>(),
                                 y.shape[1],
                                 y.shape[1] - x.shape[1],
                                 columns,
                                 positions.numel() / std::max<int64_t>(columns, 1),
                                 fault_of_device()};
    const bool wide = moves_by<kWidth<X, Y>>(columns, body.x, body.first, body.positions, body.y);
    over_tiles<kWidth<X, Y>>("embed_tokens", y.shape[0] * y.shape[1], columns, wide, body);
  });
}

void embed_tokens_backward(const TensorView& dy, const TensorView& dx, const TensorView& dfirst,
                           bool accumulate) {
  constexpr auto op = "embed_tokens_backward";
  const int64_t columns = dy.shape[2];
  const int64_t tokens = dy.shape[1];
  const int64_t count = dx.shape[1];
  dispatch_reals(dy.dtype, dx.dtype, op, [&]<typename Y, typename X>(Y, X) {
    const MoveTokens<Y, X> body{dy.data<Y>(), dx.data<X>(), count, tokens, tokens - count, count, 0, columns};
    const bool wide = moves_by<kWidth<X, Y>>(columns, body.from, body.to);
    over_tiles<kWidth<X, Y>>(op, dy.shape[0] * count, columns, wide, body);
    if (dfirst)
      sum_rows(op, dy.data<Y>(), dy.shape[0], columns, tokens * columns, dfirst.data<Acc<Y>>(), accumulate);
  });
}

void gather_rows_forward(const TensorView& table, const TensorView& ids, int64_t offset,
                         const TensorView& y) {
  const int64_t columns = table.shape[-1];
  dispatch_any(table.dtype, [&]<typename T>(T) {
    const GatherRows<T> body{table.data<T>(),
                             ids.data<int32_t>(),
                             y.data<T>(),
                             offset,
                             table.numel() / std::max<int64_t>(columns, 1),
                             columns,
                             fault_of_device()};
    const bool wide = moves_by<kWidth<T>>(columns, body.table, body.y);
    over_tiles<kWidth<T>>("gather_rows", ids.numel(), columns, wide, body);
  });
}

void repeat_token_forward(const TensorView& token, const TensorView& y) {
  const int64_t columns = y.shape[2];
  dispatch_reals(token.dtype, y.dtype, "repeat_token", [&]<typename X, typename Y>(X, Y) {
    const RepeatToken<X, Y> body{token.data<X>(), y.data<Y>(), columns};
    const bool wide = moves_by<kWidth<X, Y>>(columns, body.token, body.y);
    over_tiles<kWidth<X, Y>>("repeat_token", y.shape.rows(), columns, wide, body);
  });
}

void repeat_token_backward(const TensorView& dy, const TensorView& dtoken, bool accumulate) {
  const int64_t columns = dy.shape[2];
  dispatch_real(dy.dtype, "repeat_token_backward", [&]<typename T>(T) {
    sum_rows("repeat_token_backward", dy.data<T>(), dy.shape.rows(), columns, columns, dtoken.data<Acc<T>>(),
             accumulate);
  });
}

void copy_tokens(const TensorView& from, int64_t from_start, int64_t count, const TensorView& to,
                 int64_t to_start) {
  const int64_t columns = from.shape[2];
  dispatch_real(from.dtype, "copy_tokens", [&]<typename T>(T) {
    const MoveTokens<T, T> body{from.data<T>(), to.data<T>(), count,    from.shape[1],
                                from_start,     to.shape[1],  to_start, columns};
    const bool wide = moves_by<kWidth<T>>(columns, body.from, body.to);
    over_tiles<kWidth<T>>("copy_tokens", from.shape[0] * count, columns, wide, body);
  });
}

void zero_tokens(const TensorView& y, int64_t start, int64_t count) {
  const int64_t columns = y.shape[2];
  dispatch_real(y.dtype, "zero_tokens", [&]<typename T>(T) {
    const ZeroTokens<T> body{y.data<T>(), count, y.shape[1], start, columns};
    over_tiles<kWidth<T>>("zero_tokens", y.shape[0] * count, columns, moves_by<kWidth<T>>(columns, body.y),
                          body);
  });
}

}  // namespace cae::cuda
