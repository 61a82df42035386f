#include "ops/attention.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_attention(Napi::Env, Napi::Object exports) {
  bind(exports, "selfAttention", &ops::self_attention);
  bind(exports, "selfAttentionBackward", &ops::self_attention_backward);
  bind(exports, "biasedSelfAttention", &ops::biased_self_attention);
  bind(exports, "biasedSelfAttentionBackward", &ops::biased_self_attention_backward);
  bind(exports, "crossAttention", &ops::cross_attention);
  bind(exports, "crossAttentionBackward", &ops::cross_attention_backward);
}

}  // namespace cae::binding
