#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace cae {

struct StreamStatistics {
  uint64_t tasks = 0;    // tasks run
  uint64_t busy_ns = 0;  // time spent running them
  uint64_t idle_ns = 0;  // time the worker waited for the host to queue more
  uint64_t waits = 0;    // times the host stood still for the device, or asked the system for memory
  uint64_t copies = 0;   // copies made beside the queue (upload_beside)
};

// What one op's tasks took so far.
struct OpStatistics {
  uint64_t calls = 0;
  uint64_t busy_ns = 0;
};

// A copy into a device's memory.
struct HostCopy {
  void* to;
  const void* from;
  size_t bytes;
};

// The CPU's stream: a worker thread runs queued tasks in order, as a CUDA stream does. Ops queue their work
// and return; the host runs ahead. A task that throws stops the queue's work (later tasks are dropped, since
// they would compute from nothing) until the error is taken by synchronize() or by a task given to notify().
class CpuStream {
 public:
  CpuStream();
  ~CpuStream();
  CpuStream(const CpuStream&) = delete;
  CpuStream& operator=(const CpuStream&) = delete;

  // `op` must be a string literal; it is named in the error of a failing task.
  void enqueue(const char* op, std::function<void()> task);
  // Calls done(error) from the worker when everything queued so far has run; the error, if any, is taken.
  void notify(std::function<void(std::exception_ptr)> done);
  // Waits for everything queued so far and throws the pending error, if there is one.
  void synchronize();
  // Waits without taking the error.
  void drain();
  // Runs a task in order with the others, after an error too. It must not throw.
  void always(std::function<void()> task);

  StreamStatistics statistics() const;
  // By the name of the op.
  std::map<std::string, OpStatistics> op_statistics() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Item {
    const char* op;
    std::function<void()> task;
    std::function<void(std::exception_ptr)> done;
  };
  void push(Item item);
  void work();
  void run(Item& item);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::exception_ptr error_;                        // touched by the worker alone
  std::map<const char*, OpStatistics> ops_;         // under mutex_, like the queue
  std::optional<Clock::time_point> waiting_since_;  // set while the worker waits on an empty queue
  std::atomic<uint64_t> tasks_{0}, busy_ns_{0}, idle_ns_{0}, waits_{0};
  std::thread worker_;
};

}  // namespace cae
