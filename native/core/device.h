#pragma once

#include <cstdint>
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
// "cpu", "cuda" or "cuda:N". Throws Error for other names, and for cuda in a build without CUDA.
Device device_from_name(const std::string& name);

// The CPU device's queue and memory: one of each in a process, made at first use, alive until it ends.
CpuStream& cpu_stream();
CachingAllocator& allocator(Device device);

}  // namespace cae
