#include "ops/momentum.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_momentum(Napi::Env, Napi::Object exports) {
  bind(exports, "sgd", &ops::sgd);
  bind(exports, "lars", &ops::lars);
  bind(exports, "movingAverage", &ops::moving_average);
}

}  // namespace cae::binding
