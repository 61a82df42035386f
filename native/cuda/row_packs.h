#pragma once

#include "cuda/tile.h"

// Kernels that keep whole rows in registers, a warp a row.
namespace cae::cuda {

constexpr int kWarps = 8;  // warps, and rows, of a block

// `body(std::integral_constant<int, K>)` with K packs of N a thread, enough for the columns; K = 0 where the
// row is not for registers: wider than 1024 columns, or not moved 16 bytes at a time.
template <int N, typename Body>
void with_packs(bool wide, int64_t columns, Body&& body) {
  if constexpr (N > 2) {
    constexpr int kPart = 8 / N;  // packs a thread to a part of 256 columns
    const int64_t parts = (columns + 255) / 256;
    if (wide && parts == 1) return body(std::integral_constant<int, kPart>{});
    if (wide && parts == 2) return body(std::integral_constant<int, 2 * kPart>{});
    if (wide && parts == 3) return body(std::integral_constant<int, 3 * kPart>{});
    if (wide && parts == 4) return body(std::integral_constant<int, 4 * kPart>{});
  }
  body(std::integral_constant<int, 0>{});
}

// The warps of a block have each summed over rows of their own: adds what they have of N columns a thread, K
// times over, and leaves it in out [columns].
template <int N, int K, typename A>
__device__ inline void add_warps(const A (&sums)[K][N], int64_t columns, A* out) {
  CAE_SHARED_ARRAY(A, room, kWarps * kWarpSize * N);
#pragma unroll
  for (int k = 0; k < K; ++k) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; ++i) room[threadIdx.x * N + i] = sums[k][i];
    __syncthreads();
    for (int c = static_cast<int>(threadIdx.x); c < kWarpSize * N; c += kWarps * kWarpSize) {
      const int64_t column = static_cast<int64_t>(k) * kWarpSize * N + c;
      if (column >= columns) break;
      A sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) sum += room[w * kWarpSize * N + c];
      out[column] = sum;
    }
  }
}

// A vector's elements, or ones where there is no vector.
template <int N, typename A>
__device__ inline Pack<A, N> load_or_ones(const A* from, int64_t column) {
  if (from != nullptr) return load<N>(from + column);
  Pack<A, N> ones;
#pragma unroll
  for (int i = 0; i < N; ++i) ones.at[i] = A(1);
  return ones;
}

}  // namespace cae::cuda
