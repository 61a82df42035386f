#pragma once

#include <cublasLt.h>

namespace cae::cuda {

#define CAE_CUBLASLT_FUNCTIONS(X)         \
  X(cublasLtCreate)                       \
  X(cublasLtGetStatusName)                \
  X(cublasLtMatmul)                       \
  X(cublasLtMatmulAlgoGetHeuristic)       \
  X(cublasLtMatmulDescCreate)             \
  X(cublasLtMatmulDescDestroy)            \
  X(cublasLtMatmulDescSetAttribute)       \
  X(cublasLtMatmulPreferenceCreate)       \
  X(cublasLtMatmulPreferenceDestroy)      \
  X(cublasLtMatmulPreferenceSetAttribute) \
  X(cublasLtMatrixLayoutCreate)           \
  X(cublasLtMatrixLayoutDestroy)          \
  X(cublasLtMatrixLayoutSetAttribute)

// cuBLASLt's functions, found at run time.
struct CublasLt {
#define CAE_MEMBER(name) decltype(&::name) name;
  CAE_CUBLASLT_FUNCTIONS(CAE_MEMBER)
#undef CAE_MEMBER
};

const CublasLt& cublaslt();
// The selected device's handle.
cublasLtHandle_t cublaslt_handle();
void check_cublaslt(cublasStatus_t status, const char* op);

}  // namespace cae::cuda
