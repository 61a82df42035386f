#include "ops/batch_norm.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_batch_norm(Napi::Env, Napi::Object exports) {
  bind(exports, "batchNorm", &ops::batch_norm);
  bind(exports, "batchNormBackward", &ops::batch_norm_backward);
}

}  // namespace cae::binding
