#include "binding/convert.h"
#include "binding/register.h"
#include "ops/codebook.h"
#include "ops/frozen_conv.h"

namespace cae::binding {

void register_tokenizer(Napi::Env, Napi::Object exports) {
  bind(exports, "frozenConv2d", &ops::frozen_conv2d);
  bind(exports, "newFrozenConv", &ops::new_frozen_conv);
  bind(exports, "forgetFrozenConv", &ops::forget_frozen_conv);
  bind(exports, "codebookLookup", &ops::codebook_lookup);
  bind(exports, "codebookLookupBackward", &ops::codebook_lookup_backward);
  bind(exports, "harden", &ops::harden);
}

}  // namespace cae::binding
