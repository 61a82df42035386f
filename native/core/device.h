#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/host_memory.h"
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
// Where new tensors lie: the device's memory, or that of the work being recorded on it.
std::shared_ptr<CachingAllocator> memory_for(Device device);
// Of a device's memory, recorded work's included.
MemoryStatistics memory_statistics(Device device);

// A device's queue, whatever the device. Queues a copy into device memory; `from` is copied before it
// returns.
void upload(Device device, void* to, const void* from, size_t bytes);
// Queues copies into device memory beside the work queued so far, where a device can do both at once; `from`
// is copied before it returns. What is queued after it waits for the copies. They themselves wait for what
// was queued before the last such call alone: nothing queued since may use their destinations, so a caller
// takes two sets of them by turns.
void upload_beside(Device device, const std::vector<HostCopy>& copies);
// Queues a copy out of device memory. `to` must stay open until notify, queued after it, calls back, or be
// closed before its memory goes.
void download(Device device, std::shared_ptr<HostMemory> to, const void* from, size_t bytes);
// Calls done(error) from another thread when everything queued so far has run, with the error of this
// thread's work, if there is one.
void notify(Device device, std::function<void(std::exception_ptr)> done);
// Work that this thread queues from here on runs again after such an error.
void acknowledge(Device device, const std::exception_ptr& error);
// Waits for everything queued so far; throws and acknowledges the error of this thread's work.
void synchronize(Device device);
StreamStatistics stream_statistics(Device device);

}  // namespace cae
