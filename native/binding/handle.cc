#include <atomic>

#include "binding/convert.h"

namespace cae::binding {
namespace {

constexpr napi_type_tag kTensorTag{0x6361652d6e617469, 0x76652d74656e736f};
std::atomic<int64_t> live{0};

struct Handle {
  Tensor tensor;
  ~Handle() {
    if (tensor.defined()) --live;
  }
};

Handle* handle_of(const Napi::Value& value) {
  if (!value.IsExternal()) return nullptr;
  const auto external = value.As<Napi::External<Handle>>();
  return external.CheckTypeTag(&kTensorTag) ? external.Data() : nullptr;
}

}  // namespace

Napi::Value to_handle(Napi::Env env, Tensor tensor) {
  auto external = Napi::External<Handle>::New(env, new Handle{std::move(tensor)},
                                              [](Napi::Env, Handle* handle) { delete handle; });
  external.TypeTag(&kTensorTag);
  ++live;
  return external;
}

Tensor& from_handle(const Napi::Value& value, const char* op, size_t position) {
  Handle* handle = handle_of(value);
  check(handle != nullptr, op, "argument ", position + 1, " must be a tensor");
  check(handle->tensor.defined(), op, "argument ", position + 1,
        " was released: keep it, or return it from its scope, to use it later");
  return handle->tensor;
}

void release_handle(const Napi::Value& value) {
  from_handle(value, "release", 0) = Tensor();
  --live;
}

int64_t live_handles() {
  return live;
}

}  // namespace cae::binding
