#pragma once

#include <type_traits>

#include "core/error.h"
#include "cuda/context.h"

#ifdef CAE_CUDA_EMULATE
#include "emulator/cuda.h"
#else
#include "cuda/driver.h"
#endif

namespace cae::cuda {

#ifdef CAE_CUDA_EMULATE

// Queues kernel(args…) on the selected device. `op` is a string literal, named in errors.
template <typename... P>
void launch(const char* op, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
            std::type_identity_t<P>... args) {
  emulator::enqueue(op, grid, block, shared_bytes, [=] { kernel(args...); });
}

// The block's dynamic shared memory, as an array of T.
template <typename T>
T* shared_memory() {
  return static_cast<T*>(emulator::dynamic_shared());
}

// A fixed array in the block's shared memory: CAE_SHARED_ARRAY(float, sums, 32);
#define CAE_SHARED_ARRAY(type, name, count) \
  auto* const name =                        \
      static_cast<type*>(::cae::emulator::static_shared(__FILE__, __LINE__, sizeof(type) * (count)))

#else

template <typename... P>
void launch(const char* op, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
            std::type_identity_t<P>... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream_of_device();
  check_cuda(cudaLaunchKernelEx(&config, kernel, args...), op);
}

#ifdef __CUDACC__
template <typename T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char cae_shared_bytes[];
  return reinterpret_cast<T*>(cae_shared_bytes);
}
#endif

#define CAE_SHARED_ARRAY(type, name, count) __shared__ type name[count]

#endif

}  // namespace cae::cuda
