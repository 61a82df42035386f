#include "cuda/staging.h"

#include <utility>

#include "core/error.h"

namespace cae::cuda {

void* Staging::take(size_t bytes) {
  std::unique_lock lock(mutex_);
  Pool& pool = pool_for(bytes);
  if (pool.free.empty() && pool.made == pool.most) {
    ++waits_;
    returned_.wait(lock, [&pool] { return !pool.free.empty(); });
  }
  if (!pool.free.empty()) {
    void* const piece = pool.free.back();
    pool.free.pop_back();
    return piece;
  }
  void* piece = nullptr;
  ++waits_;  // the driver may wait for the device before it pins memory
  check_cuda(cudaHostAlloc(&piece, pool.piece, cudaHostAllocDefault), "staging");
  ++pool.made;
  return piece;
}

void Staging::give_back(void* piece, size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    pool_for(bytes).free.push_back(piece);
  }
  returned_.notify_all();
}

Waiter::Waiter(int device) : device_(device), thread_([this] { work(); }) {}

Waiter::~Waiter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Waiter::after(cudaStream_t stream, Callback callback) {
  const std::lock_guard lock(mutex_);
  cudaEvent_t event = nullptr;
  if (free_events_.empty()) {
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "notify");
  } else {
    event = free_events_.back();
    free_events_.pop_back();
  }
  check_cuda(cudaEventRecord(event, stream), "notify");
  queue_.push_back({event, std::move(callback)});
  wake_.notify_one();
}

void Waiter::work() {
  cudaSetDevice(device_);
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    std::exception_ptr error;
    try {
      check_cuda(cudaEventSynchronize(item.event), "kernel");
    } catch (...) {
      error = std::current_exception();
    }
    item.callback(error);
    const std::lock_guard lock(mutex_);
    free_events_.push_back(item.event);
  }
}

}  // namespace cae::cuda
