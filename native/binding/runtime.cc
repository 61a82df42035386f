// The process's device: statistics, waiting, threads, and what the build and the CPU can do.
#include <omp.h>

#include "binding/convert.h"
#include "binding/register.h"
#include "core/cuda_device.h"
#include "cpu/onednn.h"
#include "cpu/paired_kernel.h"

namespace cae::binding {
namespace {

void abandon_work() {
  cpu_stream().abandon();
}
void trim(Device device) {
  allocator(device).trim();
}
void reset_peak(Device device) {
  allocator(device).reset_peak();
}

Napi::Object numbers(Napi::Env env, std::initializer_list<std::pair<const char*, double>> fields) {
  auto object = Napi::Object::New(env);
  for (const auto& [name, value] : fields) object.Set(name, Napi::Number::New(env, value));
  return object;
}

// memoryStatistics(device?)
Napi::Value memory_statistics(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const MemoryStatistics s = cae::memory_statistics(from_js<Device>({info[0], "memoryStatistics", 0}));
    return numbers(info.Env(), {{"allocated", static_cast<double>(s.allocated)},
                                {"peakAllocated", static_cast<double>(s.peak_allocated)},
                                {"reserved", static_cast<double>(s.reserved)},
                                {"peakReserved", static_cast<double>(s.peak_reserved)},
                                {"liveBlocks", static_cast<double>(s.live_blocks)},
                                {"allocations", static_cast<double>(s.allocations)},
                                {"liveTensors", static_cast<double>(live_handles())}});
  });
}

// streamStatistics(device?)
Napi::Value stream_statistics(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const StreamStatistics s = cae::stream_statistics(from_js<Device>({info[0], "streamStatistics", 0}));
    return numbers(info.Env(), {{"tasks", static_cast<double>(s.tasks)},
                                {"busySeconds", static_cast<double>(s.busy_ns) * 1e-9},
                                {"idleSeconds", static_cast<double>(s.idle_ns) * 1e-9},
                                {"waits", static_cast<double>(s.waits)},
                                {"copies", static_cast<double>(s.copies)}});
  });
}

Napi::Value op_statistics(const Napi::CallbackInfo& info) {
  auto ops = Napi::Object::New(info.Env());
  for (const auto& [op, taken] : cpu_stream().op_statistics())
    ops.Set(op, numbers(info.Env(), {{"calls", static_cast<double>(taken.calls)},
                                     {"busySeconds", static_cast<double>(taken.busy_ns) * 1e-9}}));
  return ops;
}

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto object = Napi::Object::New(env);
  const auto* v = dnnl::version();
  object.Set("oneDnn", concat(v->major, ".", v->minor, ".", v->patch));
  object.Set("cpuArch", CAE_CPU_ARCH);
  object.Set("cuda", cuda::backend().empty() ? env.Null() : Napi::String::New(env, cuda::backend()));
  object.Set("avx2", static_cast<bool>(__builtin_cpu_supports("avx2")));
  object.Set("avx512", static_cast<bool>(__builtin_cpu_supports("avx512bw")));
  object.Set("avx512Bf16", static_cast<bool>(__builtin_cpu_supports("avx512bf16")));
  object.Set("pairedProducts", cpu::paired_kernels_apply());
  object.Set("threads", omp_get_max_threads());
  return object;
}

// cudaDevices(): what there is; throws with the reason and the remedy where there is none.
Napi::Value cuda_devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto list = Napi::Array::New(env);
    for (const cuda::DeviceInfo& device : cuda::devices()) {
      auto object = Napi::Object::New(env);
      object.Set("name", device.name);
      object.Set("capability", concat(device.major, ".", device.minor));
      object.Set("memory", static_cast<double>(device.memory));
      list.Set(list.Length(), object);
    }
    return list;
  });
}

// setThreads(n): OpenMP threads of the ops that follow.
void set_threads(int64_t threads) {
  check(threads >= 1 && threads <= 1024, "setThreads", threads, " threads; give 1 to 1024");
  cpu_stream().enqueue("setThreads", [threads] { omp_set_num_threads(static_cast<int>(threads)); });
}

}  // namespace

void register_runtime(Napi::Env env, Napi::Object exports) {
  bind(exports, "synchronize", &cae::synchronize);
  bind(exports, "abandonWork", &abandon_work);
  bind(exports, "trimMemory", &trim);
  bind(exports, "resetPeakMemory", &reset_peak);
  bind(exports, "setThreads", &set_threads);
  bind(exports, "setTf32", &cuda::set_tf32);
  bind(exports, "setDeterministic", &cuda::set_deterministic);
  bind(exports, "cudaDriver", &cuda::driver_version);
  exports.Set("cudaDevices", Napi::Function::New(env, cuda_devices, "cudaDevices"));
  exports.Set("memoryStatistics", Napi::Function::New(env, memory_statistics, "memoryStatistics"));
  exports.Set("streamStatistics", Napi::Function::New(env, stream_statistics, "streamStatistics"));
  exports.Set("opStatistics", Napi::Function::New(env, op_statistics, "opStatistics"));
  exports.Set("buildInfo", Napi::Function::New(env, build_info, "buildInfo"));
}

}  // namespace cae::binding
