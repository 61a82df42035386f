#pragma once

#include <algorithm>

#include "cuda/kernel.h"

// Passes over a matrix [rows, columns], with sums over its rows on the way.
//
// A body is a struct with
//   template <int N> __device__ auto prepare(int64_t column) const;
//     what belongs to N neighbouring columns (their biases, say): kept in registers over all rows
//   template <int N, …> __device__ void row(int64_t row, int64_t column, const State&, A (&sums)[kSums][N])
//   const;
//     N elements of a row: loads, stores, and adds to the sums of their columns
namespace cae::cuda {

constexpr int kTileRows = 8;  // a block is 32 threads along the columns, 8 along the rows

struct Nothing {};

// Quotient and remainder of row numbers, which are below 2^32: four times as fast as in 64 bits.
__device__ inline int64_t quotient(int64_t row, int64_t by) {
  return static_cast<uint32_t>(row) / static_cast<uint32_t>(by);
}
__device__ inline int64_t remainder_of(int64_t row, int64_t by) {
  return static_cast<uint32_t>(row) % static_cast<uint32_t>(by);
}
inline void check_rows(const char* op, int64_t rows) {
  check(rows < int64_t{1} << 32, op, rows, " rows are more than the kernels count; lower --batch_size");
}

template <int N, typename A, int kSums, typename Body>
__global__ void __launch_bounds__(kWarpSize* kTileRows)
    tile_kernel(int64_t rows, int64_t columns, Body body, A* partial) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kWarpSize * N;
  const int64_t column = first + static_cast<int64_t>(threadIdx.x) * N;
  A sums[kSums > 0 ? kSums : 1][N] = {};
  if (column < columns) {
    const auto state = body.template prepare<N>(column);
    const int64_t step = static_cast<int64_t>(gridDim.y) * kTileRows;
    for (int64_t row = static_cast<int64_t>(blockIdx.y) * kTileRows + threadIdx.y; row < rows; row += step)
      body.row(row, column, state, sums);
  }
  if constexpr (kSums > 0) {
    CAE_SHARED_ARRAY(A, room, kTileRows * kWarpSize * N);
    const int thread = static_cast<int>(threadIdx.y * kWarpSize + threadIdx.x);
    for (int s = 0; s < kSums; ++s) {
      __syncthreads();
#pragma unroll
      for (int i = 0; i < N; ++i) room[thread * N + i] = sums[s][i];
      __syncthreads();
      for (int c = thread; c < kWarpSize * N; c += kWarpSize * kTileRows) {
        if (first + c >= columns) break;
        A sum = 0;
#pragma unroll
        for (int r = 0; r < kTileRows; ++r) sum += room[r * kWarpSize * N + c];
        partial[(static_cast<int64_t>(blockIdx.y) * kSums + s) * columns + first + c] = sum;
      }
    }
  }
}

template <typename A, int kSums>
struct SumTargets {
  A* at[kSums > 0 ? kSums : 1] = {};  // null for a sum that nobody wants
};

// out[s][c] (+)= Σ over slabs of partial[slab, s, c], always in the same order.
template <typename A, int kSums>
__global__ void __launch_bounds__(kWarpSize* kTileRows)
    finish_sums_kernel(const A* partial, int slabs, int64_t columns,
                       const __grid_constant__ SumTargets<A, kSums> out, bool accumulate) {
  CAE_SHARED_ARRAY(A, room, kTileRows * kWarpSize);
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarpSize + threadIdx.x;
  const int s = static_cast<int>(blockIdx.y);
  A sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (int slab = static_cast<int>(threadIdx.y); slab < slabs; slab += kTileRows)
      sum += partial[(static_cast<int64_t>(slab) * kSums + s) * columns + column];
  }
  room[threadIdx.y * kWarpSize + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns || out.at[s] == nullptr) return;
  A total = accumulate ? out.at[s][column] : A(0);
#pragma unroll
  for (int r = 0; r < kTileRows; ++r) total += room[r * kWarpSize + threadIdx.x];
  out.at[s][column] = total;
}

template <typename A, int kSums>
void finish_sums(const char* op, const A* partial, int slabs, int64_t columns, SumTargets<A, kSums> out,
                 bool accumulate) {
  launch(op, &finish_sums_kernel<A, kSums>, dim3(blocks_for(columns, kWarpSize), kSums),
         dim3(kWarpSize, kTileRows), 0, partial, slabs, columns, out, accumulate);
}

// Runs the body over the matrix, kFull elements at a time where `wide`.
template <int kFull, typename Body>
void over_tiles(const char* op, int64_t rows, int64_t columns, bool wide, const Body& body) {
  constexpr int kRowsAThread = 4;
  if (rows == 0 || columns == 0) return;
  check_rows(op, rows);
  with_width<kFull>(wide, [&]<int N>(std::integral_constant<int, N>) {
    const unsigned slabs = std::min(65535u, blocks_for(rows, kTileRows * kRowsAThread));
    launch(op, &tile_kernel<N, float, 0, Body>, dim3(blocks_for(columns, kWarpSize * N), slabs),
           dim3(kWarpSize, kTileRows), 0, rows, columns, body, static_cast<float*>(nullptr));
  });
}

// The same with sums over the rows, in two stages: deterministic.
template <int kFull, int kSums, typename A, typename Body>
void sum_over_tiles(const char* op, int64_t rows, int64_t columns, bool wide, const Body& body,
                    SumTargets<A, kSums> out, bool accumulate) {
  if (columns == 0) return;
  check_rows(op, rows);
  with_width<kFull>(wide, [&]<int N>(std::integral_constant<int, N>) {
    // Enough blocks to fill the device twice over; no more, since each leaves a row for the second stage.
    const unsigned across = blocks_for(columns, kWarpSize * N);
    const unsigned slabs =
        std::min(blocks_for(rows, kTileRows), blocks_for(int64_t{16} * processors(), across));
    const Scratch partial(sizeof(A) * kSums * slabs * static_cast<size_t>(columns));
    launch(op, &tile_kernel<N, A, kSums, Body>, dim3(across, slabs), dim3(kWarpSize, kTileRows), 0, rows,
           columns, body, partial.as<A>());
    finish_sums<A, kSums>(op, partial.as<A>(), static_cast<int>(slabs), columns, out, accumulate);
  });
}

}  // namespace cae::cuda
