#include "ops/position_bias.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_position_bias(Napi::Env, Napi::Object exports) {
  bind(exports, "positionBias", &ops::position_bias);
  bind(exports, "positionBiasBackward", &ops::position_bias_backward);
}

}  // namespace cae::binding
