#include "ops/residual.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_residual(Napi::Env, Napi::Object exports) {
  bind(exports, "residual", &ops::residual);
  bind(exports, "residualBackward", &ops::residual_backward);
  bind(exports, "dropPath", &ops::drop_path);
}

}  // namespace cae::binding
