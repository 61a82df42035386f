#pragma once

#include <tuple>
#include <type_traits>
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

// That a tensor among an op's arguments lies on the device the op runs on: a kernel would read another's
// addresses.
template <typename T>
void check_place(Device device, const char* op, const T& argument) {
  if constexpr (std::is_same_v<T, Tensor>)
    check(argument.device() == device, op, "a tensor on ", device_name(argument.device()), " beside one on ",
          device_name(device), "; make both on one device");
  else if constexpr (std::is_same_v<T, OptionalTensor>) {
    if (argument) check_place(device, op, *argument);
  } else if constexpr (std::is_same_v<T, std::vector<Tensor>>) {
    for (const Tensor& tensor : argument) check_place(device, op, tensor);
  }
}

// Queues a kernel on the device's stream. Tensors among the arguments become views; everything else is
// copied. CUDA kernels are called at once: launching is how they queue.
template <typename Kernel, typename... Args>
void launch(Device device, const char* op, Kernel on_cpu, Kernel on_cuda, const Args&... args) {
  (check_place(device, op, args), ...);
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
