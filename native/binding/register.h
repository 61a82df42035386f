#pragma once

#include <napi.h>

// One function a file of binding/: each adds its family to the addon's exports.
namespace cae::binding {

void register_tensor(Napi::Env env, Napi::Object exports);
void register_runtime(Napi::Env env, Napi::Object exports);
void register_linear(Napi::Env env, Napi::Object exports);

}  // namespace cae::binding
