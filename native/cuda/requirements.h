#pragma once

#include <cstddef>
#include <string>

// What the driver, a device and the libraries must be. Each throws Error in one line: what is missing, and
// the remedy. Includes nothing of CUDA's, so that the emulator holds its made-up machines against the same.
namespace cae::cuda {

// Versions of CUDA are 1000·major + 10·minor; this is `13.0` of 13000.
std::string version_text(int version);

// A driver that supports `driver` (0: there is none) for a build with the runtime `runtime`: any of the same
// major version, or a newer one.
void require_driver(int driver, int runtime);
// `count` devices, of which `index` is wanted.
void require_device(int index, int count);
// Kernels of this build for a device of compute capability major.minor; `kernels`: what this build has them
// for, as in 80;90+PTX.
void require_kernels(bool found, const std::string& device, int major, int minor, const char* kernels);
// cuDNN as it numbers itself: 10000·major + 100·minor + patch; 1000·major before 9.
void require_cudnn(size_t version);

}  // namespace cae::cuda
