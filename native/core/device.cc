#include "core/device.h"

#include <sys/mman.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "core/cuda_device.h"
#include "core/error.h"

namespace cae {

std::string device_name(Device device) {
  return device.kind == DeviceKind::Cpu ? "cpu" : concat("cuda:", device.index);
}

Device device_from_name(const std::string& name) {
  if (name == "cpu") return {};
  int index = 0;
  const char* const end = name.data() + name.size();
  const bool cuda = name == "cuda" || (name.rfind("cuda:", 0) == 0 && name.size() > 5 &&
                                       std::from_chars(name.data() + 5, end, index).ptr == end && index >= 0);
  check(cuda, "device", "\"", name, "\" is no device; use cpu, cuda or cuda:N");
  check(!cuda::backend().empty(), "device",
        "this build has no CUDA backend; use --device cpu, or a build with CUDA");
  return {DeviceKind::Cuda, index};
}

// Never destroyed: the process may end while JavaScript still holds tensors.
CpuStream& cpu_stream() {
  static auto* stream = new CpuStream();
  return *stream;
}

CachingAllocator& allocator(Device device) {
  if (device.kind == DeviceKind::Cuda) return cuda::allocator(device.index);
  static auto* cpu = new CachingAllocator(
      "cpu", {.acquire = [](size_t bytes) -> void* {
                constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
                void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
                if (p == MAP_FAILED) return nullptr;
                madvise(p, bytes, MADV_HUGEPAGE);  // fewer page faults and TLB misses; only a wish
                return p;
              },
              .give_back = [](void* p, size_t bytes) { munmap(p, bytes); },
              // Pages cost nothing before they are written: few large segments leave few holes at their ends.
              .segment = size_t{512} << 20,
              .drain = [] { cpu_stream().drain(); }});
  return *cpu;
}

std::shared_ptr<CachingAllocator> memory_for(Device device) {
  if (device.kind == DeviceKind::Cuda) return cuda::memory_for(device.index);
  return {std::shared_ptr<void>(), &allocator(device)};
}

MemoryStatistics memory_statistics(Device device) {
  if (device.kind == DeviceKind::Cuda) return cuda::memory_statistics(device.index);
  return allocator(device).statistics();
}

void upload(Device device, void* to, const void* from, size_t bytes) {
  if (device.kind == DeviceKind::Cuda) return cuda::upload(device.index, to, from, bytes);
  // The block may still be read by work queued before its last release, so the copy waits its turn.
  const std::shared_ptr<char[]> staged(new char[bytes]);
  std::memcpy(staged.get(), from, bytes);
  cpu_stream().enqueue("upload", [staged, to, bytes] { std::memcpy(to, staged.get(), bytes); });
}

void upload_beside(Device device, const std::vector<HostCopy>& copies) {
  if (device.kind == DeviceKind::Cuda) return cuda::upload_beside(device.index, copies);
  // The CPU copies no quicker beside its other work than in its turn.
  for (const HostCopy& copy : copies) upload(device, copy.to, copy.from, copy.bytes);
}

void download(Device device, std::shared_ptr<HostMemory> to, const void* from, size_t bytes) {
  if (device.kind == DeviceKind::Cuda) return cuda::download(device.index, std::move(to), from, bytes);
  cpu_stream().enqueue("download", [to = std::move(to), from, bytes] { to->write(0, from, bytes); });
}

void notify(Device device, std::function<void(std::exception_ptr)> done) {
  if (device.kind == DeviceKind::Cuda) return cuda::notify(device.index, std::move(done));
  cpu_stream().notify(std::move(done));
}

void acknowledge(Device device, const std::exception_ptr& error) {
  if (device.kind == DeviceKind::Cuda) return cuda::acknowledge(device.index, error);
  cpu_stream().acknowledge(error);
}

void synchronize(Device device) {
  if (device.kind == DeviceKind::Cuda) return cuda::synchronize(device.index);
  cpu_stream().synchronize();
}

StreamStatistics stream_statistics(Device device) {
  if (device.kind == DeviceKind::Cuda) return cuda::stream_statistics(device.index);
  return cpu_stream().statistics();
}

}  // namespace cae
