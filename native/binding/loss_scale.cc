#include "ops/loss_scale.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_loss_scale(Napi::Env, Napi::Object exports) {
  bind(exports, "lossScale", &ops::loss_scale);
  bind(exports, "updateLossScale", &ops::update_loss_scale);
}

}  // namespace cae::binding
