#pragma once

#include <tuple>
#include <utility>

#include "core/cuda_device.h"
#include "core/tensor.h"

// A header of ops/ declares each kernel once; the macro declares it for both backends. cpu/ and cuda/ define
// it; a build without CUDA defines the second half as a throw (no_cuda/).
#ifndef CAE_KERNEL
#define CAE_KERNEL(name, ...) \
  namespace cpu {             \
  void name(__VA_ARGS__);     \
  }                           \
  namespace cuda {            \
  void name(__VA_ARGS__);     \
  }
#endif

namespace cae {

// Queues a kernel on the device's stream. Tensors among the arguments become views; everything else is
// copied. CUDA kernels are called at once: launching is how they queue.
template <typename Kernel, typename... Args>
void launch(Device device, const char* op, Kernel on_cpu, Kernel on_cuda, const Args&... args) {
  if (device.kind == DeviceKind::Cuda) {
    cuda::select(device.index);
    on_cuda(view_of(args)...);
    return;
  }
  cpu_stream().enqueue(op,
                       [on_cpu, packed = std::make_tuple(view_of(args)...)] { std::apply(on_cpu, packed); });
}

}  // namespace cae

// CAE_LAUNCH(device, kernel, args…): launch of the kernel of that name in cpu:: or cuda::.
#define CAE_LAUNCH(device, kernel, ...) \
  ::cae::launch(device, #kernel, &cpu::kernel, &cuda::kernel, __VA_ARGS__)
