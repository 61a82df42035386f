#include "image/thread_pool.h"

#include "core/error.h"

namespace cae::image {

ThreadPool::ThreadPool(int threads) {
  check(threads >= 1 && threads <= 1024, "imagePool", threads, " threads; give 1 to 1024");
  workers_.reserve(threads);
  for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

void ThreadPool::submit(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    check(!closing_, "imagePool", "the pool was closed: no more pictures can be read with it");
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void ThreadPool::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_)
    if (worker.joinable()) worker.join();
}

void ThreadPool::work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace cae::image
