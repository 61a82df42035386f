#include "cuda/driver.h"

namespace cae::cuda {
namespace {
__global__ void probe_kernel() {}
}  // namespace

bool has_kernels() {
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, probe_kernel);
  cudaGetLastError();
  return code == cudaSuccess;
}

}  // namespace cae::cuda
