#include "ops/optimizer.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_optimizer(Napi::Env, Napi::Object exports) {
  bind(exports, "globalNorm", &ops::global_norm);
  bind(exports, "adamwFactors", &ops::adamw_factors);
  bind(exports, "adamw", &ops::adamw);
}

}  // namespace cae::binding
