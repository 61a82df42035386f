// The emulated device: a CUDA device made of the CPU. Its stream is a worker thread, so kernels are queued
// and run later, as on a real one; its memory is the host's, and each block starts as NaN.
#include <sys/mman.h>

#include <cstring>
#include <memory>

#include "core/cuda_device.h"
#include "core/error.h"
#include "cuda/context.h"
#include "emulator/block.h"
#include "emulator/machine.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cae::cuda {
namespace {

constexpr unsigned char kPoison = 0xff;

// Under AddressSanitizer, what no live block covers must not be touched.
#ifdef __SANITIZE_ADDRESS__
void forbid(void* at, size_t bytes) {
  __asan_poison_memory_region(at, bytes);
}
void allow(void* at, size_t bytes) {
  __asan_unpoison_memory_region(at, bytes);
}
#else
void forbid(void*, size_t) {}
void allow(void*, size_t) {}
#endif

Fault fault;
size_t held = 0;  // bytes of the device in segments; the allocator takes and gives back under its lock

CpuStream& stream() {
  static auto* it = new CpuStream();
  return *it;
}

}  // namespace

std::string backend() {
  return "emulated";
}

std::vector<DeviceInfo> devices() {
  emulator::require_machine(0);
  return {{.name = "emulated on the CPU", .major = 0, .minor = 0, .memory = emulator::memory_bytes()}};
}

int driver_version() {
  return emulator::driver_version();
}

void select(int index) {
  static bool opened = false;
  if (opened && index == 0) return;
  emulator::require_machine(index);
  opened = index == 0;
  check(opened, "device", "cuda:", index, " does not compute: the emulator's cuda:0 alone does");
}

CachingAllocator& allocator(int index) {
  select(index);
  static auto* memory = new CachingAllocator(
      "cuda:0",
      {.acquire = [](size_t bytes) -> void* {
         if (held + bytes > emulator::memory_bytes()) return nullptr;
         void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         if (p == MAP_FAILED) return nullptr;
         held += bytes;
         forbid(p, bytes);
         return p;
       },
       .give_back =
           [](void* p, size_t bytes) {
             held -= bytes;
             allow(p, bytes);
             munmap(p, bytes);
           },
       .drain = [] { stream().drain(); },
       .guard = 64,
       .allocated =
           [](void* p, size_t bytes) {
             stream().enqueue("allocate", [p, bytes] {
               allow(p, bytes);
               std::memset(p, kPoison, bytes);
             });
           },
       .released = [](void* p,
                      size_t bytes) { stream().enqueue("release", [p, bytes] { forbid(p, bytes); }); }});
  return *memory;
}

void upload(int, void* to, const void* from, size_t bytes) {
  const std::shared_ptr<char[]> staged(new char[bytes]);
  std::memcpy(staged.get(), from, bytes);
  stream().enqueue("upload", [staged, to, bytes] { std::memcpy(to, staged.get(), bytes); });
}

void download(int, void* to, const void* from, size_t bytes) {
  stream().enqueue("download", [to, from, bytes] { std::memcpy(to, from, bytes); });
}

void notify(int index, std::function<void(std::exception_ptr)> done) {
  select(index);
  stream().enqueue("kernel", [] { throw_fault(fault); });
  stream().notify(std::move(done));
}

void synchronize(int index) {
  select(index);
  stream().enqueue("kernel", [] { throw_fault(fault); });
  stream().synchronize();
}

StreamStatistics stream_statistics(int) {
  return stream().statistics();
}

void set_tf32(bool) {}

Fault* fault_of_device() {
  return &fault;
}
int processors() {
  return 3;
}
CachingAllocator& memory_of_device() {
  return allocator(0);
}

}  // namespace cae::cuda

namespace cae::emulator {

void enqueue(const char* op, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body) {
  cuda::stream().enqueue(op, [op, grid, block, shared_bytes, body = std::move(body)] {
    run_grid(op, grid, block, shared_bytes, body);
  });
}

void enqueue_host(const char* op, std::function<void()> task) {
  cuda::stream().enqueue(op, std::move(task));
}

}  // namespace cae::emulator
