#include "ops/augment.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_augment(Napi::Env, Napi::Object exports) {
  bind(exports, "eraseBoxes", &ops::erase_boxes);
  bind(exports, "mixImages", &ops::mix_images);
}

}  // namespace cae::binding
