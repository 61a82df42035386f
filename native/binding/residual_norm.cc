#include "ops/residual_norm.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_residual_norm(Napi::Env, Napi::Object exports) {
  bind(exports, "residualNorm", &ops::residual_norm);
  bind(exports, "residualNormBackward", &ops::residual_norm_backward);
}

}  // namespace cae::binding
