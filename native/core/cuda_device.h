#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/host_memory.h"
#include "core/stream.h"

// The CUDA devices, as core/ sees them. Defined once a build: by cuda/ (a driver and its devices), by
// emulator/ (one device made of the CPU, for tests), or by no_cuda/ (throws).
namespace cae::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  size_t memory = 0;         // bytes
};

// What the backend is: "CUDA 13.0", "emulated"; empty in a build without one.
std::string backend();
// The CUDA version that the driver supports, as 1000·major + 10·minor; 0 without a driver.
int driver_version();
// The devices there are. Throws Error with the reason and the remedy where there is none.
std::vector<DeviceInfo> devices();

// Makes a device the one that the kernels called after it run on; its first use opens it. Throws Error where
// it cannot be used.
void select(int index);
CachingAllocator& allocator(int index);
// Where new tensors lie: the device's memory, or that of the work being recorded.
std::shared_ptr<CachingAllocator> memory_for(int index);
MemoryStatistics memory_statistics(int index);

// Queues a copy to the device; `from` is copied before it returns.
void upload(int index, void* to, const void* from, size_t bytes);
// Queues copies to the device beside its other work: see cae::upload_beside.
void upload_beside(int index, const std::vector<HostCopy>& copies);
// Queues a copy from the device.
void download(int index, std::shared_ptr<HostMemory> to, const void* from, size_t bytes);
// Calls done(error) from another thread when everything queued so far has run, with its error, if there is
// one: what a kernel noted is said once, to the first who asks.
void notify(int index, std::function<void(std::exception_ptr)> done);
// See cae::acknowledge; a device's work runs on after an error anyway.
void acknowledge(int index, const std::exception_ptr& error);
// Waits for everything queued so far and throws the pending error, if there is one.
void synchronize(int index);
StreamStatistics stream_statistics(int index);

// Work that was recorded once and is queued again, whole, by one call: it reads and writes the same addresses
// each time. Memory that was taken for it while it was recorded stays its own as long as it lives, and as any
// tensor there does. Destroying it waits for the device.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  virtual void run() = 0;
};
// From here on what is queued is recorded and does not run. Copies from and to the host, and waiting, throw.
void start_recording(int index);
std::unique_ptr<RecordedWork> finish_recording(int index);
// Ends a recording that will not be finished.
void abandon_recording(int index);

// Whether f32 products may round their inputs to TF32 (10 bits of mantissa); off at the start.
void set_tf32(bool allowed);
// Whether results are to be the same bits from run to run where that takes time or memory; off at the start.
void set_deterministic(bool wanted);

}  // namespace cae::cuda
