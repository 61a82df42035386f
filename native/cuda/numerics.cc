#include "cuda/numerics.h"

#include "core/cuda_device.h"

namespace cae::cuda {

void set_tf32(bool allowed) {
  numerics.tf32 = allowed;
}

void set_deterministic(bool wanted) {
  numerics.deterministic = wanted;
}

}  // namespace cae::cuda
