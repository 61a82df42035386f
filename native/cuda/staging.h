#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/driver.h"

namespace cae::cuda {

// Pinned host memory that copies go through, in pieces of two sizes: a step has many small copies, and few of
// pictures. All of a size taken, a request waits for the copies under way.
class Staging {
 public:
  static constexpr size_t kPiece = size_t{16} << 20;  // the most at once

  // Counts in `waits` how often a request had to wait.
  explicit Staging(std::atomic<uint64_t>& waits) : waits_(waits) {}

  // Room for `bytes`.
  void* take(size_t bytes);
  // What `take(bytes)` gave.
  void give_back(void* piece, size_t bytes);

 private:
  static constexpr size_t kSmall = size_t{64} << 10;
  struct Pool {
    size_t piece;
    size_t most;
    std::vector<void*> free;
    size_t made = 0;
  };
  Pool& pool_for(size_t bytes) { return bytes <= kSmall ? small_ : large_; }

  std::atomic<uint64_t>& waits_;
  std::mutex mutex_;
  std::condition_variable returned_;
  Pool small_{kSmall, 1024, {}};
  Pool large_{kPiece, 16, {}};
};

// Calls back when a stream reaches a point: a thread waits for events in their order. Unlike
// cudaLaunchHostFunc, it calls back after a failed kernel too, with the failure.
class Waiter {
 public:
  using Callback = std::function<void(std::exception_ptr)>;

  explicit Waiter(int device);
  ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // After all work that the stream holds now.
  void after(cudaStream_t stream, Callback callback);

 private:
  struct Item {
    cudaEvent_t event;
    Callback callback;
  };
  void work();

  const int device_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  std::vector<cudaEvent_t> free_events_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace cae::cuda
