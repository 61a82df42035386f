#include "ops/pointwise.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_pointwise(Napi::Env, Napi::Object exports) {
  bind(exports, "gelu", &ops::gelu);
  bind(exports, "geluBackward", &ops::gelu_backward);
  bind(exports, "cast", &ops::cast);
  bind(exports, "copyInto", &ops::copy_into);
  bind(exports, "add", &ops::add);
  bind(exports, "addInto", &ops::add_into);
  bind(exports, "scaleBy", &ops::scale_by);
  bind(exports, "sum", &ops::sum);
  bind(exports, "fill", &ops::fill);
  bind(exports, "uniform", &ops::uniform);
  bind(exports, "truncatedNormal", &ops::truncated_normal);
}

}  // namespace cae::binding
