// A build without CUDA: every kernel's CUDA half is a throw that names the op and the build. Including each
// header of ops/ with this meaning of CAE_KERNEL defines them all; a new header is added to the list below.
#include "core/cuda_device.h"
#include "core/error.h"

#define CAE_KERNEL(name, ...)                                        \
  namespace cpu {                                                    \
  void name(__VA_ARGS__);                                            \
  }                                                                  \
  namespace cuda {                                                   \
  void name(__VA_ARGS__) {                                           \
    fail(#name, "this build has no CUDA backend; use --device cpu"); \
  }                                                                  \
  }

#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "ops/all.h"

namespace cae::cuda {
namespace {
constexpr auto kNone = "this build has no CUDA backend; use --device cpu, or a build with CUDA";
}

std::string backend() {
  return {};
}
int driver_version() {
  return 0;
}
std::vector<DeviceInfo> devices() {
  fail("device", kNone);
}
void select(int index) {
  fail("device", kNone);
}
CachingAllocator& allocator(int index) {
  fail("allocate", kNone);
}
std::shared_ptr<CachingAllocator> memory_for(int index) {
  fail("allocate", kNone);
}
MemoryStatistics memory_statistics(int index) {
  fail("device", kNone);
}
void start_recording(int index) {
  fail("startRecording", kNone);
}
std::unique_ptr<RecordedWork> finish_recording(int index) {
  fail("finishRecording", kNone);
}
void abandon_recording(int index) {
  fail("abandonRecording", kNone);
}
void upload(int index, void* to, const void* from, size_t bytes) {
  fail("upload", kNone);
}
void upload_beside(int index, const std::vector<HostCopy>& copies) {
  fail("upload", kNone);
}
// NOLINTNEXTLINE(performance-unnecessary-value-param): the signature of builds with CUDA, which move it on
void download(int index, std::shared_ptr<HostMemory> to, const void* from, size_t bytes) {
  fail("download", kNone);
}
// NOLINTNEXTLINE(performance-unnecessary-value-param): the signature of builds with CUDA, which move it on
void notify(int index, std::function<void(std::exception_ptr)> done) {
  fail("notify", kNone);
}
void acknowledge(int index, const std::exception_ptr& error) {
  fail("acknowledge", kNone);
}
void synchronize(int index) {
  fail("synchronize", kNone);
}
StreamStatistics stream_statistics(int index) {
  fail("device", kNone);
}
void set_tf32(bool allowed) {
  fail("setTf32", kNone);
}
void set_deterministic(bool) {}  // the CPU's results always are

}  // namespace cae::cuda
