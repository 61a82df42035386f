#include "ops/frozen_conv.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_frozen_conv(Napi::Env, Napi::Object exports) {
  bind(exports, "frozenConv2d", &ops::frozen_conv2d);
  bind(exports, "newFrozenConv", &ops::new_frozen_conv);
  bind(exports, "forgetFrozenConv", &ops::forget_frozen_conv);
}

}  // namespace cae::binding
