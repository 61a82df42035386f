#include "ops/tokens.h"

#include <cstring>

#include "cpu/column_sum.h"
#include "cpu/dispatch_pair.h"

namespace cae::cpu {
namespace {

int64_t checked_id(const char* op, int64_t id, int64_t rows) {
  check(id >= 0 && id < rows, op, "index ", id, " is outside a table of ", rows);
  return id;
}

}  // namespace

void normalize_images_forward(const TensorView& pixels, const TensorView& mean, const TensorView& deviation,
                              bool channels_last, const TensorView& y) {
  const int64_t area = pixels.shape[1] * pixels.shape[2];
  dispatch_float(y.dtype, "normalize_images", [&]<typename T>(T) {
    // A byte has 256 values: the arithmetic is done once for each, as torch does it, x/255 first.
    std::vector<T> table(3 * 256);
    for (int c = 0; c < 3; ++c)
      for (int v = 0; v < 256; ++v)
        table[c * 256 + v] = store<T>(static_cast<Acc<T>>(
            (static_cast<float>(v) / 255.f - mean.data<float>()[c]) / deviation.data<float>()[c]));
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < pixels.shape[0]; ++b) {
      const uint8_t* from = pixels.data<uint8_t>() + b * area * 3;
      T* to = y.data<T>() + b * area * 3;
      for (int64_t i = 0; i < area; ++i)
        for (int c = 0; c < 3; ++c)
          to[channels_last ? i * 3 + c : c * area + i] = table[c * 256 + from[i * 3 + c]];
    }
  });
}

void unfold_patches_forward(const TensorView& images, int64_t patch, const TensorView& ids,
                            const TensorView& y) {
  const int64_t channels = images.shape[1];
  const int64_t height = images.shape[2];
  const int64_t width = images.shape[3];
  const int64_t per_row = width / patch;
  const int64_t patches = per_row * (height / patch);
  const int64_t count = ids.shape[1];
  for (int64_t i = 0; i < ids.numel(); ++i) checked_id("unfold_patches", ids.data<int32_t>()[i], patches);
  dispatch_pair(images.dtype, y.dtype, "unfold_patches", [&]<typename X, typename Y>(X, Y) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < ids.numel(); ++i) {
      const int64_t id = ids.data<int32_t>()[i];
      const X* image = images.data<X>() + (i / count) * channels * height * width;
      Y* to = y.data<Y>() + i * channels * patch * patch;
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t r = 0; r < patch; ++r) {
          const X* from = image + (c * height + (id / per_row) * patch + r) * width + (id % per_row) * patch;
#pragma omp simd
          for (int64_t x = 0; x < patch; ++x) to[x] = store<Y>(load(from[x]));
          to += patch;
        }
    }
  });
}

void embed_tokens_forward(const TensorView& x, const TensorView& first, const TensorView& positions,
                          const TensorView& ids, const TensorView& y) {
  const int64_t count = x.shape[1];
  const int64_t columns = x.shape[2];
  const int64_t rows = positions.numel() / columns;
  const int64_t front = y.shape[1] - count;
  for (int64_t i = 0; i < ids.numel(); ++i) checked_id("embed_tokens", 1 + ids.data<int32_t>()[i], rows);
  dispatch_pair(x.dtype, y.dtype, "embed_tokens", [&]<typename X, typename Y>(X, Y) {
    const Y* table = positions.data<Y>();
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < x.shape[0]; ++b) {
      Y* to = y.data<Y>() + b * y.shape[1] * columns;
      if (front == 1) {
        for (int64_t c = 0; c < columns; ++c) to[c] = store<Y>(load(first.data<Y>()[c]) + load(table[c]));
        to += columns;
      }
      for (int64_t k = 0; k < count; ++k, to += columns) {
        const X* from = x.data<X>() + (b * count + k) * columns;
        const Y* at = table + (1 + ids.data<int32_t>()[b * count + k]) * columns;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) to[c] = store<Y>(load(from[c]) + load(at[c]));
      }
    }
  });
}

void embed_tokens_backward(const TensorView& dy, const TensorView& dx, const TensorView& dfirst,
                           bool accumulate) {
  const int64_t columns = dy.shape[2];
  const int64_t tokens = dy.shape[1];
  const int64_t count = dx.shape[1];
  const int64_t front = tokens - count;
  dispatch_pair(dy.dtype, dx.dtype, "embed_tokens_backward", [&]<typename Y, typename X>(Y, X) {
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < dy.shape[0]; ++b) {
      const Y* from = dy.data<Y>() + (b * tokens + front) * columns;
      X* to = dx.data<X>() + b * count * columns;
#pragma omp simd
      for (int64_t i = 0; i < count * columns; ++i) to[i] = store<X>(load(from[i]));
    }
    if (!dfirst) return;
    using A = Acc<Y>;
    for (int64_t c = 0; c < columns; ++c) {
      A sum = accumulate ? dfirst.data<A>()[c] : A(0);
      for (int64_t b = 0; b < dy.shape[0]; ++b) sum += load(dy.data<Y>()[b * tokens * columns + c]);
      dfirst.data<A>()[c] = sum;
    }
  });
}

void gather_rows_forward(const TensorView& table, const TensorView& ids, int64_t offset,
                         const TensorView& y) {
  const int64_t columns = table.shape[-1];
  const int64_t rows = table.numel() / columns;
  const size_t bytes = static_cast<size_t>(columns) * dtype_size(table.dtype);
  for (int64_t i = 0; i < ids.numel(); ++i)
    std::memcpy(y.data<char>() + i * bytes,
                table.data<char>() + checked_id("gather_rows", offset + ids.data<int32_t>()[i], rows) * bytes,
                bytes);
}

void repeat_token_forward(const TensorView& token, const TensorView& y) {
  const int64_t columns = y.shape[2];
  dispatch_pair(token.dtype, y.dtype, "repeat_token", [&]<typename X, typename Y>(X, Y) {
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < y.shape.rows(); ++r)
      for (int64_t c = 0; c < columns; ++c) y.data<Y>()[r * columns + c] = store<Y>(load(token.data<X>()[c]));
  });
}

void repeat_token_backward(const TensorView& dy, const TensorView& dtoken, bool accumulate) {
  const int64_t columns = dy.shape[2];
  dispatch_float(dy.dtype, "repeat_token_backward", [&]<typename T>(T) {
    using A = Acc<T>;
    A* sums[] = {dtoken.data<A>()};
    sum_over_rows<A>(dy.shape.rows(), columns, 1, sums, accumulate, [&](int64_t row, A* partial) {
      const T* from = dy.data<T>() + row * columns;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) partial[c] += load(from[c]);
    });
  });
}

void copy_tokens(const TensorView& from, int64_t from_start, int64_t count, const TensorView& to,
                 int64_t to_start) {
  const size_t row = static_cast<size_t>(from.shape[2]) * dtype_size(from.dtype);
  for (int64_t b = 0; b < from.shape[0]; ++b)
    std::memcpy(to.data<char>() + (b * to.shape[1] + to_start) * row,
                from.data<char>() + (b * from.shape[1] + from_start) * row, count * row);
}

void mean_tokens_forward(const TensorView& x, int64_t start, const TensorView& y) {
  const int64_t tokens = x.shape[1];
  const int64_t columns = x.shape[2];
  dispatch_float(x.dtype, "mean_tokens", [&]<typename T>(T) {
    using A = Acc<T>;
    const A share = A(1) / static_cast<A>(tokens - start);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < x.shape[0]; ++b) {
      std::vector<A> sums(static_cast<size_t>(columns));
      for (int64_t t = start; t < tokens; ++t) {
        const T* from = x.data<T>() + (b * tokens + t) * columns;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) sums[c] += load(from[c]);
      }
      for (int64_t c = 0; c < columns; ++c) y.data<T>()[b * columns + c] = store<T>(sums[c] * share);
    }
  });
}

void mean_tokens_backward(const TensorView& dy, int64_t start, const TensorView& dx) {
  const int64_t tokens = dx.shape[1];
  const int64_t columns = dx.shape[2];
  dispatch_float(dy.dtype, "mean_tokens_backward", [&]<typename T>(T) {
    const Acc<T> share = Acc<T>(1) / static_cast<Acc<T>>(tokens - start);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < dx.shape[0]; ++b) {
      const T* from = dy.data<T>() + b * columns;
      for (int64_t t = 0; t < tokens; ++t) {
        T* to = dx.data<T>() + (b * tokens + t) * columns;
        const Acc<T> factor = t < start ? Acc<T>(0) : share;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) to[c] = store<T>(load(from[c]) * factor);
      }
    }
  });
}

void zero_tokens(const TensorView& y, int64_t start, int64_t count) {
  const size_t row = static_cast<size_t>(y.shape[2]) * dtype_size(y.dtype);
  for (int64_t b = 0; b < y.shape[0]; ++b)
    std::memset(y.data<char>() + (b * y.shape[1] + start) * row, 0, count * row);
}

}  // namespace cae::cpu
