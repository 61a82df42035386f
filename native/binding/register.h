#pragma once

#include <napi.h>

// One function a file of binding/: each adds its family to the addon's exports.
namespace cae::binding {

void register_tensor(Napi::Env env, Napi::Object exports);
void register_runtime(Napi::Env env, Napi::Object exports);
void register_attention(Napi::Env env, Napi::Object exports);
void register_augment(Napi::Env env, Napi::Object exports);
void register_batch_norm(Napi::Env env, Napi::Object exports);
void register_class_loss(Napi::Env env, Napi::Object exports);
void register_conv(Napi::Env env, Napi::Object exports);
void register_vision(Napi::Env env, Napi::Object exports);
void register_image(Napi::Env env, Napi::Object exports);
void register_linear(Napi::Env env, Napi::Object exports);
void register_loss(Napi::Env env, Napi::Object exports);
void register_loss_scale(Napi::Env env, Napi::Object exports);
void register_momentum(Napi::Env env, Napi::Object exports);
void register_norm(Napi::Env env, Napi::Object exports);
void register_optimizer(Napi::Env env, Napi::Object exports);
void register_pointwise(Napi::Env env, Napi::Object exports);
void register_position_bias(Napi::Env env, Napi::Object exports);
void register_recording(Napi::Env env, Napi::Object exports);
void register_residual(Napi::Env env, Napi::Object exports);
void register_residual_norm(Napi::Env env, Napi::Object exports);
void register_tokens(Napi::Env env, Napi::Object exports);

}  // namespace cae::binding
