#include "ops/class_loss.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_class_loss(Napi::Env, Napi::Object exports) {
  bind(exports, "softCrossEntropy", &ops::soft_cross_entropy);
  bind(exports, "smoothCrossEntropy", &ops::smooth_cross_entropy);
  bind(exports, "labelRanks", &ops::label_ranks);
}

}  // namespace cae::binding
