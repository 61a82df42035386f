#include "emulator/machine.h"

#include <cstdlib>

#include "cuda/requirements.h"
#include "cuda/shared_library.h"

namespace cae::emulator {
namespace {

size_t setting(const char* name, size_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

bool looks_for_libraries() {
  return setting("CAE_EMULATED_LIBRARIES", 0) != 0;
}

}  // namespace

int driver_version() {
  return static_cast<int>(setting("CAE_EMULATED_DRIVER", kRuntime));
}
int device_count() {
  return static_cast<int>(setting("CAE_EMULATED_DEVICES", 1));
}
size_t memory_bytes() {
  return setting("CAE_EMULATED_MEMORY", size_t{1} << 20) << 20;
}

void require_machine(int index) {
  cuda::require_driver(driver_version(), kRuntime);
  cuda::require_device(index, device_count());
  const auto capability = static_cast<int>(setting("CAE_EMULATED_CAPABILITY", 0));
  cuda::require_kernels(capability == 0, "an emulated device", capability / 10, capability % 10, "90");
}

void require_cublas() {
  if (!looks_for_libraries()) return;
  static const cuda::SharedLibrary library("libcublasLt.so.13", {"nvidia/cu13/lib", "nvidia/cublas/lib"});
  library.function("cublasLtMatmul");
}

void require_cudnn() {
  if (!looks_for_libraries()) return;
  static const cuda::SharedLibrary library("libcudnn.so.9", {"nvidia/cudnn/lib"});
  cuda::require_cudnn(reinterpret_cast<size_t (*)()>(library.function("cudnnGetVersion"))());
}

}  // namespace cae::emulator
