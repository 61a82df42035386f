#include "ops/tokens.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_tokens(Napi::Env, Napi::Object exports) {
  bind(exports, "normalizeImages", &ops::normalize_images);
  bind(exports, "unfoldPatches", &ops::unfold_patches);
  bind(exports, "embedTokens", &ops::embed_tokens);
  bind(exports, "embedTokensBackward", &ops::embed_tokens_backward);
  bind(exports, "gatherRows", &ops::gather_rows);
  bind(exports, "repeatToken", &ops::repeat_token);
  bind(exports, "repeatTokenBackward", &ops::repeat_token_backward);
  bind(exports, "concatTokens", &ops::concat_tokens);
  bind(exports, "meanTokens", &ops::mean_tokens);
  bind(exports, "meanTokensBackward", &ops::mean_tokens_backward);
  bind(exports, "sliceTokens", &ops::slice_tokens);
  bind(exports, "sliceTokensBackward", &ops::slice_tokens_backward);
}

}  // namespace cae::binding
