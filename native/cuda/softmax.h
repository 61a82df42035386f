#pragma once

#include <algorithm>
#include <cmath>

#include "cuda/row_sums.h"

// The softmax of attention's scores, and its gradient: a warp has a row, which stays in its registers where
// it is short enough, so memory is read once.
namespace cae::cuda {

constexpr int kRowThreads = 128;
constexpr int kRowWarps = kRowThreads / kWarpSize;

// Rows of scores before the softmax: scale·scores, and a bias [rows, columns] that all samples share, where
// there is one.
template <typename A>
struct Scores {
  const A* scores;
  const A* bias;
  A scale;
  int64_t batch, rows, columns;  // rows of one sample: heads·queries
};

// body(k, column) for the columns of a lane, k counting up to K; with K = 0 for any number of columns.
template <int K, typename Body>
__device__ inline void over_lane(int64_t columns, const Body& body) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (lane + k * kWarpSize < columns) body(k, lane + k * kWarpSize);
  } else {
    for (int64_t c = lane; c < columns; c += kWarpSize) body(0, c);
  }
}

// A lane's numbers of a row in registers, or with K = 0 computed again each time.
template <int K, typename A>
struct LaneRow {
  A own[K > 0 ? K : 1] = {};
  template <typename Value>
  __device__ A set(int k, const Value& value) {
    return own[k] = value();
  }
  template <typename Value>
  __device__ A get(int k, const Value& value) const {
    if constexpr (K > 0)
      return own[k];
    else
      return value();
  }
};

// p = softmax by rows, and each row's log-sum-exp.
template <typename T, int K>
__global__ void __launch_bounds__(kRowThreads) softmax_kernel(Scores<Acc<T>> s, T* p, Acc<T>* log_sum) {
  using A = Acc<T>;
  const int64_t from = static_cast<int64_t>(blockIdx.x) * kRowWarps + threadIdx.x / kWarpSize;
  if (from >= s.batch * s.rows) return;
  const A* scores = s.scores + from * s.columns;
  const A* bias = s.bias == nullptr ? nullptr : s.bias + remainder_of(from, s.rows) * s.columns;
  const auto score = [&](int64_t c) {
    return bias == nullptr ? s.scale * scores[c] : s.scale * scores[c] + bias[c];
  };
  LaneRow<K, A> row;
  A top = static_cast<A>(-INFINITY);
  over_lane<K>(s.columns, [&](int k, int64_t c) { top = Max{}(top, row.set(k, [&] { return score(c); })); });
  top = over_warp<Max>(top);
  A sum = 0;
  LaneRow<K, A> powers;
  const auto power = [&](int k, int64_t c) { return fast_exp(row.get(k, [&] { return score(c); }) - top); };
  over_lane<K>(s.columns, [&](int k, int64_t c) { sum += powers.set(k, [&] { return power(k, c); }); });
  sum = over_warp<Sum>(sum);
  const A inverse = A(1) / sum;
  over_lane<K>(s.columns, [&](int k, int64_t c) {
    p[from * s.columns + c] = T(powers.get(k, [&] { return power(k, c); }) * inverse);
  });
  if (threadIdx.x % kWarpSize == 0) log_sum[from] = top + std::log(sum);
}

// p again from the kept log-sums, and ds = p·(dp − Σ p·dp)·scale. A warp has one row of the samples of a
// group, one after another, and sums what is the bias's gradient: dbias is [groups, rows, columns], or null.
template <typename T, int K>
__global__ void __launch_bounds__(kRowThreads)
    softmax_backward_kernel(Scores<Acc<T>> s, int64_t group_size, const Acc<T>* dp, const Acc<T>* log_sum,
                            T* p, T* ds, Acc<T>* dbias) {
  using A = Acc<T>;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kRowWarps + threadIdx.x / kWarpSize;
  if (at >= s.rows) return;
  const int64_t begin = blockIdx.y * group_size;
  const int64_t end = begin + group_size < s.batch ? begin + group_size : s.batch;
  const A* bias = s.bias == nullptr ? nullptr : s.bias + at * s.columns;
  A* const total = dbias == nullptr ? nullptr : dbias + (blockIdx.y * s.rows + at) * s.columns;
  LaneRow<K, A> shifts;
  const auto shift = [&](int64_t c) { return bias == nullptr ? A(0) : bias[c]; };
  if constexpr (K > 0)
    over_lane<K>(s.columns, [&](int k, int64_t c) { shifts.set(k, [&] { return shift(c); }); });
  A sums[K > 0 ? K : 1] = {};
  for (int64_t b = begin; b < end; ++b) {
    const int64_t from = b * s.rows + at;
    const int64_t start = from * s.columns;
    const A log_total = log_sum[from];
    LaneRow<K, A> row;
    LaneRow<K, A> slopes;
    const auto probability = [&](int k, int64_t c) {
      return fast_exp(s.scale * s.scores[start + c] + shifts.get(k, [&] { return shift(c); }) - log_total);
    };
    A dot = 0;
    over_lane<K>(s.columns, [&](int k, int64_t c) {
      const A d = slopes.set(k, [&] { return dp[start + c]; });
      dot += row.set(k, [&] { return probability(k, c); }) * d;
    });
    dot = over_warp<Sum>(dot);
    over_lane<K>(s.columns, [&](int k, int64_t c) {
      const A value = row.get(k, [&] { return probability(k, c); });
      const A slope = value * (slopes.get(k, [&] { return dp[start + c]; }) - dot);
      p[start + c] = T(value);
      ds[start + c] = T(slope * s.scale);
      if (total == nullptr) return;
      if constexpr (K > 0)
        sums[k] += slope;
      else
        total[c] = b == begin ? slope : total[c] + slope;
    });
  }
  if constexpr (K > 0)
    if (total != nullptr) over_lane<K>(s.columns, [&](int k, int64_t c) { total[c] = sums[k]; });
}

// body(std::integral_constant<int, K>): registers of a lane for a row of that many columns, or 0.
template <typename Body>
void with_row(int64_t columns, Body&& body) {
  if (columns <= 8 * kWarpSize) return body(std::integral_constant<int, 8>{});
  if (columns <= 20 * kWarpSize) return body(std::integral_constant<int, 20>{});
  body(std::integral_constant<int, 0>{});
}

template <typename T>
void softmax(const char* op, const Scores<Acc<T>>& s, T* p, Acc<T>* log_sum) {
  with_row(s.columns, [&]<int K>(std::integral_constant<int, K>) {
    launch(op, &softmax_kernel<T, K>, dim3(blocks_for(s.batch * s.rows, kRowWarps)), dim3(kRowThreads), 0, s,
           p, log_sum);
  });
}

// With dbias [rows, columns], groups of samples leave a sum each, which are added up behind it: always in the
// same order.
template <typename T>
void softmax_backward(const char* op, const Scores<Acc<T>>& s, const Acc<T>* dp, const Acc<T>* log_sum, T* p,
                      T* ds, Acc<T>* dbias) {
  using A = Acc<T>;
  // Enough warps to fill the device a few times over; no more, since a group's sums are as large as the bias.
  const int64_t wanted = blocks_for(int64_t{192} * processors(), s.rows);
  const int64_t group_size = dbias == nullptr ? 1 : blocks_for(s.batch, std::min(s.batch, wanted));
  const int64_t groups = blocks_for(s.batch, group_size);
  check(groups < 65536, op, "a batch of ", s.batch, " is more than the kernel takes; lower --batch_size");
  const bool direct = dbias == nullptr || groups == 1;
  const int64_t size = s.rows * s.columns;
  const Scratch partial(direct ? 0 : sizeof(A) * static_cast<size_t>(groups * size));
  const dim3 grid(blocks_for(s.rows, kRowWarps), static_cast<unsigned>(groups));
  with_row(s.columns, [&]<int K>(std::integral_constant<int, K>) {
    launch(op, &softmax_backward_kernel<T, K>, grid, dim3(kRowThreads), 0, s, group_size, dp, log_sum, p, ds,
           direct ? dbias : partial.as<A>());
  });
  if (!direct) sum_rows(op, partial.as<const A>(), groups, size, size, dbias, false);
}

}  // namespace cae::cuda
