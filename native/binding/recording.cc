// Work recorded once and queued again: a training step of fixed shapes.
#include <memory>

#include "binding/convert.h"
#include "binding/register.h"
#include "core/cuda_device.h"

namespace cae::binding {
namespace {

constexpr napi_type_tag kWorkTag{0x6361652d7265636f, 0x726465642d776f72};
using Work = std::unique_ptr<cuda::RecordedWork>;

int index_of(Device device, const char* op) {
  check(device.kind == DeviceKind::Cuda, op, "the cpu runs its work at once: only a cuda device records it");
  return device.index;
}

Work& work_of(const Napi::CallbackInfo& info, const char* op) {
  check(info[0].IsExternal(), op, "argument 1 must be recorded work");
  const auto external = info[0].As<Napi::External<Work>>();
  check(external.CheckTypeTag(&kWorkTag) && *external.Data() != nullptr, op,
        "argument 1 must be recorded work that was not released");
  return *external.Data();
}

void start(Device device) {
  cuda::start_recording(index_of(device, "startRecording"));
}
void abandon(Device device) {
  cuda::abandon_recording(index_of(device, "abandonRecording"));
}

// finishRecording(device): what was queued since startRecording, as one piece of work.
Napi::Value finish(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    constexpr auto op = "finishRecording";
    auto work =
        std::make_unique<Work>(cuda::finish_recording(index_of(from_js<Device>({info[0], op, 0}), op)));
    auto external =
        Napi::External<Work>::New(info.Env(), work.release(), [](Napi::Env, Work* own) { delete own; });
    external.TypeTag(&kWorkTag);
    return external;
  });
}

Napi::Value run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    work_of(info, "runRecorded")->run();
    return info.Env().Undefined();
  });
}

Napi::Value release(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    work_of(info, "releaseRecorded").reset();
    return info.Env().Undefined();
  });
}

}  // namespace

void register_recording(Napi::Env env, Napi::Object exports) {
  bind(exports, "startRecording", &start);
  bind(exports, "abandonRecording", &abandon);
  exports.Set("finishRecording", Napi::Function::New(env, finish, "finishRecording"));
  exports.Set("runRecorded", Napi::Function::New(env, run, "runRecorded"));
  exports.Set("releaseRecorded", Napi::Function::New(env, release, "releaseRecorded"));
}

}  // namespace cae::binding
