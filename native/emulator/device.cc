// The emulated device: a CUDA device made of the CPU. Its stream is a worker thread, so kernels are queued
// and run later, as on a real one; its memory is the host's, and each block starts as NaN.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

#include "core/cuda_device.h"
#include "core/error.h"
#include "cuda/context.h"
#include "emulator/block.h"
#include "emulator/machine.h"
#include "emulator/queue.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cae::cuda {
using emulator::stream;

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
std::atomic<size_t> held{0};  // bytes of the device in segments

std::atomic<uint64_t> acquisitions{0};

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
  static auto* memory = emulator::make_memory([](const char* op, std::function<void()> task) {
                          stream().enqueue(op, std::move(task));
                        }).release();
  return *memory;
}

std::shared_ptr<CachingAllocator> memory_for(int index) {
  select(index);
  if (auto recorded = emulator::recorded_memory()) return recorded;
  return {std::shared_ptr<void>(), &allocator(index)};
}

MemoryStatistics memory_statistics(int index) {
  MemoryStatistics statistics = allocator(index).statistics();
  emulator::add_recorded(statistics);
  return statistics;
}

void upload(int, void* to, const void* from, size_t bytes) {
  emulator::check_not_recording("upload");
  const std::shared_ptr<char[]> staged(new char[bytes]);
  std::memcpy(staged.get(), from, bytes);
  stream().enqueue("upload", [staged, to, bytes] { std::memcpy(to, staged.get(), bytes); });
}

void download(int, std::shared_ptr<HostMemory> to, const void* from, size_t bytes) {
  emulator::check_not_recording("download");
  stream().enqueue("download", [to = std::move(to), from, bytes] { to->write(0, from, bytes); });
}

void notify(int index, std::function<void(std::exception_ptr)> done) {
  select(index);
  emulator::check_not_recording("notify");
  stream().enqueue("kernel", [] { throw_fault(fault); });
  stream().notify(std::move(done));
}

void acknowledge(int, const std::exception_ptr& error) {
  stream().acknowledge(error);
}

void synchronize(int index) {
  select(index);
  emulator::check_not_recording("synchronize");
  stream().enqueue("kernel", [] { throw_fault(fault); });
  stream().synchronize();
}

StreamStatistics stream_statistics(int) {
  StreamStatistics statistics = stream().statistics();
  statistics.waits += acquisitions;
  statistics.copies = emulator::copies_made();
  return statistics;
}

Fault* fault_of_device() {
  return &fault;
}
int processors() {
  return 3;
}
CachingAllocator& memory_of_device() {
  return *memory_for(0);
}

}  // namespace cae::cuda

namespace cae::emulator {

void enqueue(const char* op, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body) {
  queue(op, [op, grid, block, shared_bytes, body = std::move(body)] {
    run_grid(op, grid, block, shared_bytes, body);
  });
}

void enqueue_host(const char* op, std::function<void()> task) {
  queue(op, std::move(task));
}

std::unique_ptr<CachingAllocator> make_memory(Queue queue) {
  return std::make_unique<CachingAllocator>(
      "cuda:0",
      CachingAllocator::Source{
          .acquire = [](size_t bytes) -> void* {
            ++cuda::acquisitions;
            if (cuda::held + bytes > memory_bytes()) return nullptr;
            void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED) return nullptr;
            cuda::held += bytes;
            cuda::forbid(p, bytes);
            return p;
          },
          .give_back =
              [](void* p, size_t bytes) {
                cuda::held -= bytes;
                cuda::allow(p, bytes);
                munmap(p, bytes);
              },
          .drain = [] { stream().drain(); },
          .memory = []() -> DeviceMemory {
            return {memory_bytes() - std::min<size_t>(cuda::held, memory_bytes()), memory_bytes()};
          },
          .guard = 64,
          .allocated =
              [queue](void* p, size_t bytes) {
                queue("allocate", [p, bytes] {
                  cuda::allow(p, bytes);
                  std::memset(p, cuda::kPoison, bytes);
                });
              },
          .released = [queue](void* p,
                              size_t bytes) { queue("release", [p, bytes] { cuda::forbid(p, bytes); }); }});
}

}  // namespace cae::emulator
