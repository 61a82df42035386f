#include "cuda/cudnn_library.h"

#include <map>

#include "core/dtype.h"
#include "cuda/driver.h"
#include "cuda/requirements.h"
#include "cuda/shared_library.h"

namespace cae::cuda {

const Cudnn& cudnn() {
  static const Cudnn table = [] {
    static const SharedLibrary library("libcudnn.so.9", {"nvidia/cudnn/lib"});
    Cudnn found{};
#define CAE_FIND(name) found.name = reinterpret_cast<decltype(&::name)>(library.function(#name));
    CAE_CUDNN_FUNCTIONS(CAE_FIND)
#undef CAE_FIND
    found.version = found.cudnnGetVersion();
    require_cudnn(found.version);
    return found;
  }();
  return table;
}

cudnnHandle_t cudnn_handle() {
  static std::map<int, cudnnHandle_t> handles;
  cudnnHandle_t& handle = handles[selected_device()];
  if (handle == nullptr) {
    check_cudnn(cudnn().cudnnCreate(&handle), "device");
    check_cudnn(cudnn().cudnnSetStream(handle, stream_of_device()), "device");
  }
  return handle;
}

void check_cudnn(cudnnStatus_t status, const char* op) {
  check(status == CUDNN_STATUS_SUCCESS, op, "cuDNN: ", cudnn().cudnnGetErrorString(status));
}

}  // namespace cae::cuda
