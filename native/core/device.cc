#include "core/device.h"

#include <sys/mman.h>

#include "core/error.h"

namespace cae {

std::string device_name(Device device) {
  return device.kind == DeviceKind::Cpu ? "cpu" : concat("cuda:", device.index);
}

Device device_from_name(const std::string& name) {
  if (name == "cpu") return {};
  check(name != "cuda" && name.rfind("cuda:", 0) != 0, "device",
        "this build has no CUDA backend; use --device cpu, or a build with CUDA");
  fail("device", "\"", name, "\" is no device; use cpu or cuda");
}

// Never destroyed: the process may end while JavaScript still holds tensors.
CpuStream& cpu_stream() {
  static auto* stream = new CpuStream();
  return *stream;
}

CachingAllocator& allocator(Device device) {
  check(device.kind == DeviceKind::Cpu, "allocate", "this build has no CUDA backend");
  static auto* cpu = new CachingAllocator(
      "cpu", {.acquire = [](size_t bytes) -> void* {
                void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (p == MAP_FAILED) return nullptr;
                madvise(p, bytes, MADV_HUGEPAGE);  // fewer page faults and TLB misses; only a wish
                return p;
              },
              .give_back = [](void* p, size_t bytes) { munmap(p, bytes); },
              .drain = [] { cpu_stream().drain(); }});
  return *cpu;
}

}  // namespace cae
