#include "ops/conv.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_conv(Napi::Env, Napi::Object exports) {
  bind(exports, "conv2d", &ops::conv2d);
  bind(exports, "prepareConvWeight", &ops::prepare_conv_weight);
  bind(exports, "conv2dPrepared", &ops::conv2d_prepared);
  bind(exports, "conv2dBackwardInput", &ops::conv2d_backward_input);
  bind(exports, "conv2dBackwardWeight", &ops::conv2d_backward_weight);
  bind(exports, "convTranspose2d", &ops::conv_transpose2d);
}

}  // namespace cae::binding
