#include "ops/norm.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_norm(Napi::Env, Napi::Object exports) {
  bind(exports, "layerNorm", &ops::layer_norm);
  bind(exports, "layerNormBackward", &ops::layer_norm_backward);
}

}  // namespace cae::binding
