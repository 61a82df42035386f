#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

// The language of kernels for a host compiler: a .cu file compiled as C++ with this header runs on the CPU,
// thread by thread of each block, as block.cc schedules them. It holds what the kernels of cuda/ use and no
// more.

#define __global__
#define __device__
#define __host__
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace cae::emulator {

constexpr unsigned kWarp = 32;

// Where the running thread is.
struct Place {
  dim3 thread, block, block_size, grid_size;
  unsigned lane = 0;
};
const Place& place();

// __syncthreads: returns when every thread of the block has called it.
void wait_for_block();
// Gives `mine` to the warp and returns what `lane` gave; every thread of the warp must call it.
uint64_t exchange(uint64_t mine, unsigned lane);
// The block's dynamic shared memory.
void* dynamic_shared();
// Shared memory of the block for one declaration in the source, made at its first use.
void* static_shared(const char* file, int line, size_t bytes);

// Queues a kernel: body() runs once for each thread of each block, in order with what else is queued.
void enqueue(const char* op, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body);

template <typename T>
T exchange_value(T value, unsigned lane) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(bits, lane);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace cae::emulator

#define threadIdx (::cae::emulator::place().thread)
#define blockIdx (::cae::emulator::place().block)
#define blockDim (::cae::emulator::place().block_size)
#define gridDim (::cae::emulator::place().grid_size)

inline void __syncthreads() {
  ::cae::emulator::wait_for_block();
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return ::cae::emulator::exchange_value(value, ::cae::emulator::place().lane ^ mask);
}

// The emulator runs one thread at a time, so plain memory operations are atomic.
inline int atomicCAS(int* at, int expected, int wanted) {
  const int before = *at;
  if (before == expected) *at = wanted;
  return before;
}
inline void __threadfence_system() {}
inline float rsqrtf(float x) {
  return 1.f / std::sqrt(x);
}
inline double rsqrt(double x) {
  return 1. / std::sqrt(x);
}
