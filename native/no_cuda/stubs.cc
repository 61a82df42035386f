// A build without CUDA: every kernel's CUDA half is a throw that names the op and the build. Including each
// header of ops/ with this meaning of CAE_KERNEL defines them all; a new header is added to the list below.
#include "core/error.h"

#define CAE_KERNEL(name, ...)                                        \
  namespace cpu {                                                    \
  void name(__VA_ARGS__);                                            \
  }                                                                  \
  namespace cuda {                                                   \
  void name(__VA_ARGS__) {                                           \
    fail(#name, "this build has no CUDA backend; use --device cpu"); \
  }                                                                  \
  }

#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "ops/all.h"
