#pragma once

#include <cudnn.h>

namespace cae::cuda {

#define CAE_CUDNN_FUNCTIONS(X)                     \
  X(cudnnBackendCreateDescriptor)                  \
  X(cudnnBackendDestroyDescriptor)                 \
  X(cudnnBackendExecute)                           \
  X(cudnnBackendFinalize)                          \
  X(cudnnBackendGetAttribute)                      \
  X(cudnnBackendSetAttribute)                      \
  X(cudnnConvolutionBackwardData)                  \
  X(cudnnConvolutionBackwardFilter)                \
  X(cudnnConvolutionForward)                       \
  X(cudnnCreate)                                   \
  X(cudnnCreateConvolutionDescriptor)              \
  X(cudnnCreateFilterDescriptor)                   \
  X(cudnnCreateTensorDescriptor)                   \
  X(cudnnGetConvolutionBackwardDataAlgorithm_v7)   \
  X(cudnnGetConvolutionBackwardFilterAlgorithm_v7) \
  X(cudnnGetConvolutionForwardAlgorithm_v7)        \
  X(cudnnGetErrorString)                           \
  X(cudnnGetVersion)                               \
  X(cudnnSetConvolution2dDescriptor)               \
  X(cudnnSetConvolutionMathType)                   \
  X(cudnnSetFilter4dDescriptor)                    \
  X(cudnnSetStream)                                \
  X(cudnnSetTensor4dDescriptor)

// cuDNN's functions, found at run time.
struct Cudnn {
#define CAE_MEMBER(name) decltype(&::name) name;
  CAE_CUDNN_FUNCTIONS(CAE_MEMBER)
#undef CAE_MEMBER
  size_t version;  // 10000·major + 100·minor + patch
};

// Throws Error naming the remedy where cuDNN is missing, older than 9, or a version known to compute wrongly.
const Cudnn& cudnn();
// The selected device's handle, on its stream.
cudnnHandle_t cudnn_handle();
void check_cudnn(cudnnStatus_t status, const char* op);

}  // namespace cae::cuda
