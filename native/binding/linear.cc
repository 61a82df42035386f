#include "ops/linear.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_linear(Napi::Env, Napi::Object exports) {
  bind(exports, "linear", &ops::linear);
  bind(exports, "linearBackwardInput", &ops::linear_backward_input);
  bind(exports, "linearBackwardWeight", &ops::linear_backward_weight);
}

}  // namespace cae::binding
