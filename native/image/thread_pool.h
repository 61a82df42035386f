#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cae::image {

// A fixed number of threads that run tasks in the order they came. The queue is as long as its users make it:
// the loader bounds its look-ahead.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool() { close(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Tasks must not throw. Throws Error once the pool is closed.
  void submit(std::function<void()> task);
  // Waits for the running tasks, and for the queued ones, which should look at closing() and return at once.
  // Not to be called from a task.
  void close();
  bool closing() const { return closing_; }
  int threads() const { return static_cast<int>(workers_.size()); }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::atomic<bool> closing_{false};
  std::vector<std::thread> workers_;
};

}  // namespace cae::image
