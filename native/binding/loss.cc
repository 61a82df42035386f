#include "ops/loss.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_loss(Napi::Env, Napi::Object exports) {
  bind(exports, "crossEntropy", &ops::cross_entropy);
  bind(exports, "mse", &ops::mse);
  bind(exports, "mseBackward", &ops::mse_backward);
  bind(exports, "smoothL1", &ops::smooth_l1);
  bind(exports, "klToUniform", &ops::kl_to_uniform);
}

}  // namespace cae::binding
