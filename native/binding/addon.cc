#include <napi.h>

#include "binding/register.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  using namespace cae::binding;
  for (const auto add :
       {register_tensor,        register_runtime,    register_attention, register_augment,
        register_batch_norm,    register_class_loss, register_conv,      register_vision,
        register_image,         register_linear,     register_loss,      register_loss_scale,
        register_momentum,      register_norm,       register_optimizer, register_pointwise,
        register_position_bias, register_recording,  register_residual,  register_residual_norm,
        register_tokens})
    add(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(cae_native, init)
