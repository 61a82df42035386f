#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "cuda/context.h"
#include "cuda/staging.h"

namespace cae::cuda {

// An open device. Never closed: the process may end while JavaScript still holds tensors.
struct Context {
  explicit Context(int index);
  int index;
  cudaDeviceProp properties{};
  cudaStream_t stream = nullptr;
  cudaStream_t copies = nullptr;  // what comes from the host beside the stream's work
  cudaEvent_t fence = nullptr;    // of the stream, at the last upload_beside
  cudaEvent_t copied = nullptr;   // of the copies, at the last upload_beside
  std::atomic<uint64_t> waits{0}, copies_made{0};
  Fault* fault = nullptr;  // pinned host memory, which the device writes too
  std::unique_ptr<CachingAllocator> memory;
  // Of the work being recorded, while some is, and of all that was recorded.
  std::shared_ptr<CachingAllocator> recorded;
  std::vector<std::weak_ptr<CachingAllocator>> memories;
  Staging staging{waits};
  std::unique_ptr<Waiter> waiter, copies_waiter;
};

// Opens a device at its first use and makes it the selected one. Throws Error where it cannot be used.
Context& open(int index);
// Memory of a device, by cudaMalloc.
std::unique_ptr<CachingAllocator> make_memory(Context& context);

}  // namespace cae::cuda
