#pragma once

#include <cuda_runtime.h>

namespace cae::cuda {

// Throws Error naming the op, what the driver says, and the remedy, unless the code is success.
void check_cuda(cudaError_t code, const char* op);

// The stream of the selected device, and its number.
cudaStream_t stream_of_device();
int selected_device();
// Whoever makes the host wait for the device says so.
void count_wait();
// Whether what is queued on the selected device is recorded, and does not run.
bool is_recording();
// Compute capability of the selected device, as 10·major + minor.
int capability_of_device();
// Whether this build's kernels run on the device that is current.
bool has_kernels();

}  // namespace cae::cuda
