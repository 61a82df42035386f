#include "cuda/tile.h"
#include "ops/position_bias.h"

namespace cae::cuda {
namespace {

// Row h of y [H, pairs]: column h of the table, by the pairs' indices.
template <typename T>
struct PositionBias {
  const T* table;
  const int32_t* index;
  T* y;
  int64_t rows, heads, pairs;
  Fault* fault;
  template <int N>
  __device__ Pack<int32_t, N> prepare(int64_t pair) const {
    auto ids = *reinterpret_cast<const Pack<int32_t, N>*>(index + pair);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (ids.at[i] >= 0 && ids.at[i] < rows) continue;
      report(fault, Fault::PositionBiasIndex, ids.at[i], pair + i, rows);
      ids.at[i] = -1;
    }
    return ids;
  }
  template <int N>
  __device__ void row(int64_t head, int64_t pair, const Pack<int32_t, N>& ids, float (&)[1][N]) const {
    Pack<T, N> values;
#pragma unroll
    for (int i = 0; i < N; ++i) values.at[i] = ids.at[i] < 0 ? T(0) : table[ids.at[i] * heads + head];
    store<N>(y + head * pairs + pair, values);
  }
};

constexpr int kThreads = 128;
constexpr int kRows = 4;   // rows of the table that a block sums
constexpr int kHeads = 8;  // and their columns

// A thread looks at every kThreads-th pair for those of the block's rows: few are, so it keeps its sums in
// shared memory; then a warp adds up the threads'. Always in the same order.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    position_bias_backward_kernel(int64_t rows, int64_t heads, int64_t pairs, const T* dy,
                                  const int32_t* index, T* dtable, bool accumulate, Fault* fault) {
  CAE_SHARED_ARRAY(T, room, kRows * kHeads * kThreads);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t first_head = static_cast<int64_t>(blockIdx.y) * kHeads;
  const int count = static_cast<int>(heads - first_head < kHeads ? heads - first_head : kHeads);
#pragma unroll
  for (int sum = 0; sum < kRows * kHeads; ++sum) room[sum * kThreads + thread] = 0;
#pragma unroll 4
  for (int64_t pair = thread; pair < pairs; pair += kThreads) {
    const int64_t id = index[pair];
    if (blockIdx.x == 0 && (id < 0 || id >= rows)) report(fault, Fault::PositionBiasIndex, id, pair, rows);
    const int64_t own = id - first;
    if (own < 0 || own >= kRows) continue;
    for (int h = 0; h < count; ++h)
      room[(own * kHeads + h) * kThreads + thread] += dy[(first_head + h) * pairs + pair];
  }
  __syncthreads();
  const int lane = thread % kWarpSize;
  for (int sum = thread / kWarpSize; sum < kRows * kHeads; sum += kThreads / kWarpSize) {
    T total = 0;
#pragma unroll
    for (int part = 0; part < kThreads; part += kWarpSize) total += room[sum * kThreads + part + lane];
    total = over_warp<Sum>(total);
    const int64_t row = first + sum / kHeads;
    if (lane != 0 || row >= rows || sum % kHeads >= count) continue;
    T& to = dtable[row * heads + first_head + sum % kHeads];
    to = accumulate ? to + total : total;
  }
}

template <typename Body>
void dispatch_table(Dtype dtype, Body&& body) {
  dtype == Dtype::F64 ? body(double{}) : body(float{});
}

}  // namespace

void position_bias_forward(const TensorView& table, const TensorView& index, const TensorView& y) {
  const int64_t heads = table.shape[1];
  const int64_t pairs = index.numel();
  dispatch_table(table.dtype, [&]<typename T>(T) {
    const PositionBias<T> body{table.data<T>(), index.data<int32_t>(), y.data<T>(), table.shape[0], heads,
                               pairs,           fault_of_device()};
    over_tiles<kWidth<T>>("position_bias", heads, pairs, moves_by<kWidth<T>>(pairs, body.index, body.y),
                          body);
  });
}

void position_bias_backward(const TensorView& dy, const TensorView& index, const TensorView& dtable,
                            bool accumulate) {
  const int64_t rows = dtable.shape[0];
  const int64_t heads = dtable.shape[1];
  if (dtable.numel() == 0) return;
  dispatch_table(dy.dtype, [&]<typename T>(T) {
    launch("position_bias_backward", &position_bias_backward_kernel<T>,
           dim3(blocks_for(rows, kRows), blocks_for(heads, kHeads)), dim3(kThreads), 0, rows, heads,
           index.numel(), dy.data<T>(), index.data<int32_t>(), dtable.data<T>(), accumulate,
           fault_of_device());
  });
}

}  // namespace cae::cuda
