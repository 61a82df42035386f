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
// and return; the host runs ahead. Once a task throws, what its thread has queued is dropped, since it would
// compute from nothing, up to where that thread acknowledges the error. Other threads' work goes on.
class CpuStream {
 public:
  CpuStream();
  ~CpuStream();
  CpuStream(const CpuStream&) = delete;
  CpuStream& operator=(const CpuStream&) = delete;

  // `op` must be a string literal; it is named in the error of a failing task.
  void enqueue(const char* op, std::function<void()> task);
  // Calls done(error) from the worker when everything queued so far has run, with the error of this thread's
  // work, if there is one.
  void notify(std::function<void(std::exception_ptr)> done);
  // What this thread queues from here on runs again after that error. Nothing if it has been said already.
  void acknowledge(std::exception_ptr error);
  // Waits for everything queued so far; throws and acknowledges the error of this thread's work.
  void synchronize();
  // Waits, error or not.
  void drain();
  // Runs a task in order with the others, after an error too. It must not throw.
  void always(std::function<void()> task);
  // Returns after the task under way. What else is queued never runs, nor what is queued later; whoever waits
  // for it gets an error.
  void abandon();

  StreamStatistics statistics() const;
  // By the name of the op.
  std::map<std::string, OpStatistics> op_statistics() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Errors = std::map<uint64_t, std::exception_ptr>;  // by the thread whose work failed
  struct Item {
    const char* op;
    std::function<void()> task;
    std::function<void(std::exception_ptr&)> done;  // runs after an error, too, and may change it
    uint64_t thread = 0;                            // that queued it
  };
  void push(Item item);
  void work();
  void run(Item& item);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::atomic<bool> abandoned_{false};
  Errors errors_;                                   // touched by the worker alone
  std::map<const char*, OpStatistics> ops_;         // under mutex_, like the queue
  std::optional<Clock::time_point> waiting_since_;  // set while the worker waits on an empty queue
  std::atomic<uint64_t> tasks_{0}, busy_ns_{0}, idle_ns_{0}, waits_{0};
  std::thread worker_;
};

}  // namespace cae
