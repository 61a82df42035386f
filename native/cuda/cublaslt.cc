#include "cuda/cublaslt.h"

#include <map>

#include "core/error.h"
#include "cuda/driver.h"
#include "cuda/shared_library.h"

namespace cae::cuda {
namespace {
#if CUBLAS_VER_MAJOR == 12
constexpr auto kFile = "libcublasLt.so.12";
#elif CUBLAS_VER_MAJOR == 13
constexpr auto kFile = "libcublasLt.so.13";
#else
#error "cuBLAS 12 or 13 is needed"
#endif
}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt table = [] {
    static const SharedLibrary library(kFile, {"nvidia/cu13/lib", "nvidia/cublas/lib"});
    CublasLt found{};
#define CAE_FIND(name) found.name = reinterpret_cast<decltype(&::name)>(library.function(#name));
    CAE_CUBLASLT_FUNCTIONS(CAE_FIND)
#undef CAE_FIND
    return found;
  }();
  return table;
}

cublasLtHandle_t cublaslt_handle() {
  static std::map<int, cublasLtHandle_t> handles;
  cublasLtHandle_t& handle = handles[selected_device()];
  if (handle == nullptr) check_cublaslt(cublaslt().cublasLtCreate(&handle), "device");
  return handle;
}

void check_cublaslt(cublasStatus_t status, const char* op) {
  check(status == CUBLAS_STATUS_SUCCESS, op, "cuBLASLt: ", cublaslt().cublasLtGetStatusName(status));
}

}  // namespace cae::cuda
