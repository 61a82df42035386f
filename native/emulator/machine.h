#pragma once

#include <cstddef>
#include <string>

// What the emulated machine is made up to be, for tests of what is said where something is missing:
//   CAE_EMULATED_DRIVER=12040      the CUDA version its driver supports; 0: it has no driver
//   CAE_EMULATED_DEVICES=0         how many devices it has; the first alone computes
//   CAE_EMULATED_CAPABILITY=75     a compute capability that the build has no kernels for
//   CAE_EMULATED_MEMORY=256        MiB of a device
//   CAE_EMULATED_LIBRARIES=1       libraries are looked for as on a real machine; the CPU computes all the
//   same
namespace cae::emulator {

constexpr int kRuntime = 13000;

int driver_version();
int device_count();
size_t memory_bytes();
// Throws what opening a device of the machine would.
void require_machine(int index);
// Throws what the first call of the library would, where CAE_EMULATED_LIBRARIES asks for it.
void require_cublas();
void require_cudnn();

}  // namespace cae::emulator
