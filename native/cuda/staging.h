#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/driver.h"

namespace cae::cuda {

// Pinned host memory that copies go through, in pieces of one size. All of it taken, a request waits for the
// copies under way.
class Staging {
 public:
  static constexpr size_t kPiece = size_t{16} << 20;
  static constexpr size_t kMost = 16;  // pieces

  void* take();
  void give_back(void* piece);

 private:
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<void*> free_;
  size_t made_ = 0;
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
