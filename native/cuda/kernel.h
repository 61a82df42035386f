#pragma once

#include <cmath>
#include <cstdint>

#include "core/tensor.h"
#include "cuda/launch.h"

// What kernels are made of: loads and stores of several elements at once, sums over warps and blocks. Kernels
// keep sums in Acc<T> (float, or double for double), as the CPU's loops do.
namespace cae::cuda {

constexpr int kWarpSize = 32;

// N numbers in registers, or N neighbours in memory that move as one: 16 bytes an access where there are as
// many.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T at[N];
};

// Elements that a thread moves at once: 16 bytes of the narrower type.
template <typename A, typename B = A>
constexpr int kWidth = 16 / static_cast<int>(sizeof(A) < sizeof(B) ? sizeof(A) : sizeof(B));

template <int N, typename T>
__device__ inline Pack<Acc<T>, N> load(const T* from) {
  const auto raw = *reinterpret_cast<const Pack<T, N>*>(from);
  Pack<Acc<T>, N> wide;
#pragma unroll
  for (int i = 0; i < N; ++i) wide.at[i] = static_cast<Acc<T>>(raw.at[i]);
  return wide;
}

template <int N, typename T>
__device__ inline void store(T* to, const Pack<Acc<T>, N>& wide) {
  Pack<T, N> raw;
#pragma unroll
  for (int i = 0; i < N; ++i) raw.at[i] = T(wide.at[i]);
  *reinterpret_cast<Pack<T, N>*>(to) = raw;
}

// Whether rows of `columns` elements at these places can be moved N at a time.
template <int N, typename... Pointers>
bool moves_by(int64_t columns, const Pointers*... at) {
  return columns % N == 0 && ((reinterpret_cast<uintptr_t>(at) % 16 == 0) && ...);
}

// body(std::integral_constant<int, N>) with N = kFull where `wide`, else 1.
template <int kFull, typename Body>
void with_width(bool wide, Body&& body) {
  if constexpr (kFull > 1) {
    if (wide) return body(std::integral_constant<int, kFull>{});
  }
  body(std::integral_constant<int, 1>{});
}

inline unsigned blocks_for(int64_t items, int64_t per_block) {
  return static_cast<unsigned>(items <= 0 ? 1 : (items + per_block - 1) / per_block);
}

// e^x through 2^x, which is one instruction on the device: within |x|·2^-24 of the true value's share.
__device__ inline float fast_exp(float x) {
  return exp2f(x * 1.44269504f);
}
__device__ inline double fast_exp(double x) {
  return exp(x);
}

struct Sum {
  template <typename A>
  __device__ A operator()(A a, A b) const {
    return a + b;
  }
  template <typename A>
  __device__ static A start() {
    return A(0);
  }
};

struct Max {
  template <typename A>
  __device__ A operator()(A a, A b) const {
    return a > b ? a : b;
  }
  template <typename A>
  __device__ static A start() {
    return static_cast<A>(-INFINITY);
  }
};

// Over the 32 threads of a warp; all get the same bits.
template <typename How, typename A>
__device__ inline A over_warp(A value) {
#pragma unroll
  for (int step = kWarpSize / 2; step > 0; step /= 2)
    value = How{}(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}

// Over a block of up to 1024 threads in whole warps, numbered along x; all get the same bits.
template <typename How, typename A>
__device__ inline A over_block(A value) {
  CAE_SHARED_ARRAY(A, parts, kWarpSize);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  value = over_warp<How>(value);
  __syncthreads();  // whoever still reads an earlier call's parts
  if (lane == 0) parts[warp] = value;
  __syncthreads();
  return over_warp<How>(lane < warps ? parts[lane] : How::template start<A>());
}

// A NaN comes before any number, a larger number before a smaller one.
template <typename A>
__device__ inline bool comes_before(A a, A b) {
  return a > b || (std::isnan(a) && !std::isnan(b));
}

template <typename A>
__device__ inline A first_of(A a, A b) {
  return comes_before(b, a) ? b : a;
}

// A value and where it was found; a NaN or else the larger wins, and of equals the first.
template <typename A>
struct Found {
  A value;
  int index;
  __device__ void offer(A other, int at) {
    if (comes_before(other, value) || (at < index && !comes_before(value, other))) {
      value = other;
      index = at;
    }
  }
};

template <typename A>
__device__ inline Found<A> found_over_warp(Found<A> best) {
#pragma unroll
  for (int step = kWarpSize / 2; step > 0; step /= 2) {
    const A value = __shfl_xor_sync(0xffffffffu, best.value, step);
    const int index = __shfl_xor_sync(0xffffffffu, best.index, step);
    best.offer(value, index);
  }
  return best;
}

template <typename A>
__device__ inline Found<A> found_over_block(Found<A> best) {
  CAE_SHARED_ARRAY(A, values, kWarpSize);
  CAE_SHARED_ARRAY(int, indices, kWarpSize);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  best = found_over_warp(best);
  __syncthreads();
  if (lane == 0) {
    values[warp] = best.value;
    indices[warp] = best.index;
  }
  __syncthreads();
  const int from = lane < warps ? lane : 0;
  return found_over_warp(Found<A>{values[from], indices[from]});
}

// Leaves a note of bad data; the first one stays.
__device__ inline void report(Fault* fault, Fault::Kind kind, int64_t value, int64_t place, int64_t limit) {
  if (atomicCAS(&fault->kind, Fault::None, kind) != Fault::None) return;
  fault->value = value;
  fault->place = place;
  fault->limit = limit;
  __threadfence_system();
}

}  // namespace cae::cuda
