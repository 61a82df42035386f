#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

#include "core/allocator.h"
#include "core/stream.h"

namespace cae {

enum class DeviceKind : uint8_t { Cpu, Cuda };

// Where a tensor lives and its work runs.
struct Device {
  DeviceKind kind = DeviceKind::Cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

std::string device_name(Device device);
// "cpu", "cuda" (the first) or "cuda:N". Throws Error for other names, and for cuda in a build without CUDA.
Device device_from_name(const std::string& name);

// The CPU device's queue: one in a process, made at first use, alive until it ends.
CpuStream& cpu_stream();
// A device's memory.
CachingAllocator& allocator(Device device);

// A device's queue, whatever the device. Queues a copy into device memory; `from` is copied before it
// returns.
void upload(Device device, void* to, const void* from, size_t bytes);
// Queues a copy out of device memory. `to` must live until notify, queued after it, calls back.
void download(Device device, void* to, const void* from, size_t bytes);
// Calls done(error) from another thread when everything queued so far has run; the error, if any, is taken.
void notify(Device device, std::function<void(std::exception_ptr)> done);
// Waits for everything queued so far and throws the pending error, if there is one.
void synchronize(Device device);
StreamStatistics stream_statistics(Device device);

}  // namespace cae
