// Ops that have no kernel of their own in cuda/ yet: each throws, naming itself. The definitions are weak, so
// that an op's own one takes their place as soon as it is there.
#include "core/error.h"

#define CAE_KERNEL(name, ...)                                              \
  namespace cpu {                                                          \
  void name(__VA_ARGS__);                                                  \
  }                                                                        \
  namespace cuda {                                                         \
  [[gnu::weak]] void name(__VA_ARGS__) {                                   \
    fail(#name, "is not on CUDA yet; use --device cpu for what needs it"); \
  }                                                                        \
  }

#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "ops/all.h"
