#include "ops/codebook.h"

#include <algorithm>

#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

void check_indices(const char* op, const TensorView& indices, int64_t entries) {
  const int32_t* index = indices.data<int32_t>();
  for (int64_t i = 0; i < indices.numel(); ++i)
    check(index[i] >= 0 && index[i] < entries, op, "index ", index[i], " at ", i, " is outside a table of ",
          entries);
}

}  // namespace

void codebook_lookup_forward(const TensorView& table, const TensorView& indices, const TensorView& y) {
  check_indices("codebook_lookup", indices, table.shape[0]);
  const int64_t width = table.shape[1];
  dispatch_float(y.dtype, "codebook_lookup", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < indices.numel(); ++row) {
      const Acc<T>* from = table.data<Acc<T>>() + indices.data<int32_t>()[row] * width;
      T* to = y.data<T>() + row * width;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) to[c] = store<T>(from[c]);
    }
  });
}

void codebook_lookup_backward(const TensorView& dy, const TensorView& indices, const TensorView& dtable,
                              bool accumulate) {
  check_indices("codebook_lookup_backward", indices, dtable.shape[0]);
  const int64_t width = dtable.shape[1];
  dispatch_float(dy.dtype, "codebook_lookup_backward", [&]<typename T>(T) {
    using A = Acc<T>;
    A* sums = dtable.data<A>();
    if (!accumulate) std::fill_n(sums, dtable.numel(), A(0));
    // Threads take columns, not rows: two rows may add to one entry.
    constexpr int64_t kColumns = 64;
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < width; begin += kColumns) {
      const int64_t end = std::min(width, begin + kColumns);
      for (int64_t row = 0; row < indices.numel(); ++row) {
        const T* from = dy.data<T>() + row * width;
        A* to = sums + indices.data<int32_t>()[row] * width;
#pragma omp simd
        for (int64_t c = begin; c < end; ++c) to[c] += load(from[c]);
      }
    }
  });
}

void harden_forward(const TensorView& soft, const TensorView& y) {
  const int64_t columns = soft.shape[-1];
  dispatch_float(soft.dtype, "harden", [&]<typename T>(T) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < soft.shape.rows(); ++row) {
      const T* in = soft.data<T>() + row * columns;
      T* out = y.data<T>() + row * columns;
      int64_t best = 0;
      for (int64_t c = 1; c < columns; ++c)
        if (load(in[c]) > load(in[best])) best = c;
      std::fill_n(out, columns, store<T>(0));
      out[best] = store<T>(1);
    }
  });
}

}  // namespace cae::cpu
