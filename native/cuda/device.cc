// CUDA devices: one stream each, memory from a caching allocator over cudaMalloc, copies through pinned
// memory.
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <new>

#include "core/cuda_device.h"
#include "core/error.h"
#include "cuda/context.h"
#include "cuda/device_context.h"
#include "cuda/driver.h"
#include "cuda/library.h"
#include "cuda/requirements.h"

namespace cae::cuda {
namespace {

constexpr int kMostDevices = 64;

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

void* acquire(Context& context, size_t bytes) {
  ++context.waits;
  check_cuda(cudaSetDevice(context.index), "allocate");
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, bytes);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // so that no later call reports it
    return nullptr;
  }
  check_cuda(code, "allocate");
  return memory;
}

// Both 0 where the driver does not say: this is for a message about another failure.
DeviceMemory memory_of(const Context& context) {
  DeviceMemory memory;
  if (cudaSetDevice(context.index) != cudaSuccess ||
      cudaMemGetInfo(&memory.free, &memory.total) != cudaSuccess)
    cudaGetLastError();
  return memory;
}

std::mutex contexts_mutex;
std::array<Context*, kMostDevices> contexts{};
thread_local Context* selected = nullptr;

// Copies to the device on a stream, through pinned memory.
void send(Context& context, const HostCopy& copy, cudaStream_t stream, Waiter& waiter) {
  const size_t bytes = copy.bytes;
  for (size_t done = 0; done < bytes; done += Staging::kPiece) {
    const size_t part = std::min(Staging::kPiece, bytes - done);
    void* const piece = context.staging.take(part);
    std::memcpy(piece, static_cast<const char*>(copy.from) + done, part);
    check_cuda(
        cudaMemcpyAsync(static_cast<char*>(copy.to) + done, piece, part, cudaMemcpyHostToDevice, stream),
        "upload");
    waiter.after(stream,
                 [&context, piece, part](std::exception_ptr) { context.staging.give_back(piece, part); });
  }
}

void check_not_recording(const Context& context, const char* op) {
  check(context.recorded == nullptr, op,
        "work is being recorded, which neither copies from and to the host nor waits");
}

// Throws what a kernel left on the note, if anything.
void take_fault(Context& context) {
  throw_fault(*context.fault);
}

}  // namespace

Context::Context(int device) : index(device) {
  require_device(device, count_devices());
  check_cuda(cudaSetDevice(device), "device");
  check_cuda(cudaGetDeviceProperties(&properties, device), "device");
  // Kernels are there for the device if the driver can load one of them.
  require_kernels(has_kernels(), properties.name, properties.major, properties.minor, CAE_CUDA_ARCH);
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "device");
  check_cuda(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking), "device");
  check_cuda(cudaEventCreateWithFlags(&fence, cudaEventDisableTiming), "device");
  check_cuda(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), "device");
  check_cuda(cudaEventRecord(fence, stream), "device");
  void* shared = nullptr;
  check_cuda(cudaHostAlloc(&shared, sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable), "device");
  fault = new (shared) Fault;
  memory = make_memory(*this);
  waiter = std::make_unique<Waiter>(device);
  copies_waiter = std::make_unique<Waiter>(device);
}

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

std::unique_ptr<CachingAllocator> make_memory(Context& context) {
  return std::make_unique<CachingAllocator>(
      concat("cuda:", context.index),
      CachingAllocator::Source{.acquire = [&context](size_t bytes) { return acquire(context, bytes); },
                               .give_back =
                                   [&context](void* p, size_t) {
                                     ++context.waits;
                                     cudaFree(p);
                                   },
                               .drain =
                                   [&context] {
                                     // What is being recorded has not run: there is nothing to wait for.
                                     if (context.recorded) return;
                                     ++context.waits;
                                     cudaStreamSynchronize(context.stream);
                                   },
                               .memory = [&context] { return memory_of(context); }});
}

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

std::shared_ptr<CachingAllocator> memory_for(int index) {
  select(index);
  if (selected->recorded) return selected->recorded;
  return {std::shared_ptr<void>(), selected->memory.get()};
}

MemoryStatistics memory_statistics(int index) {
  Context& context = open(index);
  MemoryStatistics statistics = context.memory->statistics();
  std::erase_if(context.memories, [](const auto& memory) { return memory.expired(); });
  for (const auto& memory : context.memories)
    if (const auto one = memory.lock()) statistics.add(one->statistics());
  return statistics;
}

void upload(int index, void* to, const void* from, size_t bytes) {
  Context& context = open(index);
  check_not_recording(context, "upload");
  send(context, {to, from, bytes}, context.stream, *context.waiter);
}

void upload_beside(int index, const std::vector<HostCopy>& copies) {
  Context& context = open(index);
  check_not_recording(context, "upload");
  check_cuda(cudaStreamWaitEvent(context.copies, context.fence), "upload");
  check_cuda(cudaEventRecord(context.fence, context.stream), "upload");
  for (const HostCopy& copy : copies) {
    send(context, copy, context.copies, *context.copies_waiter);
    context.copies_waiter->after(context.copies, [&context](std::exception_ptr) { ++context.copies_made; });
  }
  check_cuda(cudaEventRecord(context.copied, context.copies), "upload");
  check_cuda(cudaStreamWaitEvent(context.stream, context.copied), "upload");
}

void download(int index, std::shared_ptr<HostMemory> to, const void* from, size_t bytes) {
  Context& context = open(index);
  check_not_recording(context, "download");
  for (size_t done = 0; done < bytes; done += Staging::kPiece) {
    const size_t part = std::min(Staging::kPiece, bytes - done);
    void* const piece = context.staging.take(part);
    check_cuda(cudaMemcpyAsync(piece, static_cast<const char*>(from) + done, part, cudaMemcpyDeviceToHost,
                               context.stream),
               "download");
    context.waiter->after(context.stream, [&context, piece, part, done, to](std::exception_ptr error) {
      if (!error) to->write(done, piece, part);
      context.staging.give_back(piece, part);
    });
  }
}

void notify(int index, std::function<void(std::exception_ptr)> done) {
  Context& context = open(index);
  check_not_recording(context, "notify");
  context.waiter->after(context.stream, [&context, done = std::move(done)](std::exception_ptr error) {
    if (!error) try {
        take_fault(context);
      } catch (...) {
        error = std::current_exception();
      }
    done(error);
  });
}

void acknowledge(int /*index*/, const std::exception_ptr& /*error*/) {}

void synchronize(int index) {
  ++open(index).waits;
  std::promise<std::exception_ptr> reached;
  notify(index, [&reached](std::exception_ptr error) { reached.set_value(std::move(error)); });
  if (const auto error = reached.get_future().get()) std::rethrow_exception(error);
}

// A CUDA stream counts no tasks.
StreamStatistics stream_statistics(int index) {
  const Context& context = open(index);
  return {.waits = context.waits, .copies = context.copies_made};
}

Fault* fault_of_device() {
  return selected->fault;
}
int processors() {
  return selected->properties.multiProcessorCount;
}
CachingAllocator& memory_of_device() {
  return selected->recorded ? *selected->recorded : *selected->memory;
}
cudaStream_t stream_of_device() {
  return selected->stream;
}
void count_wait() {
  ++selected->waits;
}
bool is_recording() {
  return selected->recorded != nullptr;
}
int selected_device() {
  return selected->index;
}
int capability_of_device() {
  return 10 * selected->properties.major + selected->properties.minor;
}

}  // namespace cae::cuda
