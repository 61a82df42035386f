// CUDA devices: one stream each, memory from a caching allocator over cudaMalloc, copies through pinned
// memory.
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <new>

#include "core/cuda_device.h"
#include "core/error.h"
#include "cuda/context.h"
#include "cuda/driver.h"
#include "cuda/library.h"
#include "cuda/requirements.h"
#include "cuda/staging.h"

namespace cae::cuda {
namespace {

constexpr int kMostDevices = 64;

// An open device. Never closed: the process may end while JavaScript still holds tensors.
struct Context {
  explicit Context(int index);
  int index;
  cudaDeviceProp properties{};
  cudaStream_t stream = nullptr;
  Fault* fault = nullptr;  // pinned host memory, which the device writes too
  std::unique_ptr<CachingAllocator> memory;
  Staging staging;
  std::unique_ptr<Waiter> waiter;
};

int count_devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (code != cudaSuccess) require_driver(driver_version(), CUDART_VERSION);
  if (code == cudaSuccess || code == cudaErrorNoDevice) {
    require_device(0, code == cudaSuccess ? count : 0);
    return count;
  }
  fail("device", "CUDA does not start: ", cudaGetErrorString(code),
       "; check nvidia-smi, or use --device cpu");
}

void* acquire(int index, size_t bytes) {
  check_cuda(cudaSetDevice(index), "allocate");
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, bytes);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // so that no later call reports it
    return nullptr;
  }
  check_cuda(code, "allocate");
  return memory;
}

Context::Context(int device) : index(device) {
  require_device(device, count_devices());
  check_cuda(cudaSetDevice(device), "device");
  check_cuda(cudaGetDeviceProperties(&properties, device), "device");
  // Kernels are there for the device if the driver can load one of them.
  require_kernels(has_kernels(), properties.name, properties.major, properties.minor, CAE_CUDA_ARCH);
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "device");
  void* shared = nullptr;
  check_cuda(cudaHostAlloc(&shared, sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable), "device");
  fault = new (shared) Fault;
  memory = std::make_unique<CachingAllocator>(
      concat("cuda:", device),
      CachingAllocator::Source{.acquire = [device](size_t bytes) { return acquire(device, bytes); },
                               .give_back = [](void* p, size_t) { cudaFree(p); },
                               .drain = [this] { cudaStreamSynchronize(stream); }});
  waiter = std::make_unique<Waiter>(device);
}

std::mutex contexts_mutex;
std::array<Context*, kMostDevices> contexts{};
thread_local Context* selected = nullptr;

Context& open(int index) {
  check(index >= 0 && index < kMostDevices, "device", "cuda:", index, " is not there");
  const std::lock_guard lock(contexts_mutex);
  if (contexts[index] == nullptr) contexts[index] = new Context(index);
  if (selected != contexts[index]) {
    check_cuda(cudaSetDevice(index), "device");
    selected = contexts[index];
  }
  return *selected;
}

// Throws what a kernel left on the note, if anything.
void take_fault(Context& context) {
  throw_fault(*context.fault);
}

}  // namespace

void check_cuda(cudaError_t code, const char* op) {
  if (code == cudaSuccess) return;
  const bool sticky = code == cudaErrorIllegalAddress || code == cudaErrorLaunchFailure ||
                      code == cudaErrorAssert || code == cudaErrorHardwareStackError ||
                      code == cudaErrorIllegalInstruction || code == cudaErrorMisalignedAddress ||
                      code == cudaErrorECCUncorrectable;
  fail(op, "CUDA: ", cudaGetErrorString(code), " (", cudaGetErrorName(code), ")",
       sticky
           ? "; the device's state is lost, start the process again (CUDA_LAUNCH_BLOCKING=1 finds the kernel)"
           : "");
}

std::string backend() {
  return "CUDA " + version_text(CUDART_VERSION);
}

int driver_version() {
  int version = 0;
  cudaDriverGetVersion(&version);
  return version;
}

std::vector<DeviceInfo> devices() {
  std::vector<DeviceInfo> list;
  for (int i = 0, count = count_devices(); i < count; ++i) {
    cudaDeviceProp p{};
    check_cuda(cudaGetDeviceProperties(&p, i), "device");
    list.push_back({p.name, p.major, p.minor, p.totalGlobalMem});
  }
  return list;
}

void select(int index) {
  if (selected == nullptr || selected->index != index) open(index);
}

CachingAllocator& allocator(int index) {
  select(index);
  return *selected->memory;
}

void upload(int index, void* to, const void* from, size_t bytes) {
  Context& context = open(index);
  for (size_t done = 0; done < bytes; done += Staging::kPiece) {
    const size_t part = std::min(Staging::kPiece, bytes - done);
    void* const piece = context.staging.take();
    std::memcpy(piece, static_cast<const char*>(from) + done, part);
    check_cuda(
        cudaMemcpyAsync(static_cast<char*>(to) + done, piece, part, cudaMemcpyHostToDevice, context.stream),
        "upload");
    context.waiter->after(context.stream,
                          [&context, piece](std::exception_ptr) { context.staging.give_back(piece); });
  }
}

void download(int index, void* to, const void* from, size_t bytes) {
  Context& context = open(index);
  for (size_t done = 0; done < bytes; done += Staging::kPiece) {
    const size_t part = std::min(Staging::kPiece, bytes - done);
    void* const piece = context.staging.take();
    check_cuda(cudaMemcpyAsync(piece, static_cast<const char*>(from) + done, part, cudaMemcpyDeviceToHost,
                               context.stream),
               "download");
    context.waiter->after(context.stream, [&context, piece, part,
                                           at = static_cast<char*>(to) + done](std::exception_ptr error) {
      if (!error) std::memcpy(at, piece, part);
      context.staging.give_back(piece);
    });
  }
}

void notify(int index, std::function<void(std::exception_ptr)> done) {
  Context& context = open(index);
  context.waiter->after(context.stream, [&context, done = std::move(done)](std::exception_ptr error) {
    if (!error) try {
        take_fault(context);
      } catch (...) {
        error = std::current_exception();
      }
    done(error);
  });
}

void synchronize(int index) {
  std::promise<std::exception_ptr> reached;
  notify(index, [&reached](std::exception_ptr error) { reached.set_value(std::move(error)); });
  if (const auto error = reached.get_future().get()) std::rethrow_exception(error);
}

// A CUDA stream counts nothing.
StreamStatistics stream_statistics(int) {
  return {};
}

Fault* fault_of_device() {
  return selected->fault;
}
int processors() {
  return selected->properties.multiProcessorCount;
}
CachingAllocator& memory_of_device() {
  return *selected->memory;
}
cudaStream_t stream_of_device() {
  return selected->stream;
}
int selected_device() {
  return selected->index;
}
int capability_of_device() {
  return 10 * selected->properties.major + selected->properties.minor;
}

}  // namespace cae::cuda
