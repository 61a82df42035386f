#include "core/stream.h"

#include <atomic>
#include <chrono>
#include <future>
#include <new>
#include <utility>

#include "core/error.h"

namespace cae {
namespace {
// Threads' own ids may be given again when they have ended.
uint64_t this_thread() {
  static std::atomic<uint64_t> threads{0};
  thread_local const uint64_t number = ++threads;
  return number;
}

uint64_t nanoseconds(std::chrono::steady_clock::duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(d).count());
}

// The same error, with the op's name in front unless it is there already.
std::exception_ptr named(const char* op) {
  try {
    throw;
  } catch (const Error&) {
    return std::current_exception();
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(no_memory(op));
  } catch (const std::exception& e) {
    return std::make_exception_ptr(Error(concat("[", op, "] ", e.what())));
  } catch (...) {
    return std::make_exception_ptr(Error(concat("[", op, "] failed")));
  }
}
}  // namespace

CpuStream::CpuStream() : worker_([this] { work(); }) {}

CpuStream::~CpuStream() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (worker_.joinable()) worker_.join();
}

void CpuStream::push(Item item) {
  item.thread = this_thread();
  {
    const std::lock_guard lock(mutex_);
    if (!abandoned_) {
      queue_.push_back(std::move(item));
      wake_.notify_one();
      return;
    }
  }
  run(item);
}

void CpuStream::enqueue(const char* op, std::function<void()> task) {
  push({op, std::move(task), nullptr});
}

void CpuStream::notify(std::function<void(std::exception_ptr)> done) {
  push({"notify", nullptr, [done = std::move(done)](const std::exception_ptr& error) { done(error); }});
}

void CpuStream::acknowledge(std::exception_ptr error) {
  push({"acknowledge", nullptr, [error = std::move(error)](std::exception_ptr& pending) {
          if (pending == error) pending = nullptr;
        }});
}

void CpuStream::synchronize() {
  ++waits_;
  std::promise<std::exception_ptr> reached;
  notify([&reached](std::exception_ptr error) { reached.set_value(std::move(error)); });
  if (const auto error = reached.get_future().get()) {
    acknowledge(error);
    std::rethrow_exception(error);
  }
}

void CpuStream::drain() {
  ++waits_;
  std::promise<void> reached;
  always([&reached] { reached.set_value(); });
  reached.get_future().get();
}

void CpuStream::always(std::function<void()> task) {
  push({"always", nullptr, [task = std::move(task)](const std::exception_ptr&) { task(); }});
}

void CpuStream::abandon() {
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_) return;
    abandoned_ = stopping_ = true;
  }
  wake_.notify_one();
  worker_.join();
}

void CpuStream::work() {
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      if (queue_.empty() && !stopping_) {
        waiting_since_ = Clock::now();
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        idle_ns_ += nanoseconds(Clock::now() - *waiting_since_);
        waiting_since_.reset();
      }
      if (queue_.empty()) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    run(item);
  }
}

void CpuStream::run(Item& item) {
  if (abandoned_) {
    auto ending = std::make_exception_ptr(Error("[stream] the process is ending"));
    if (item.done) item.done(ending);
    return;
  }
  std::exception_ptr& error = errors_[item.thread];
  if (item.done) {
    item.done(error);
    return;
  }
  if (error) return;
  const auto start = Clock::now();
  try {
    item.task();
  } catch (...) {
    error = named(item.op);
  }
  const uint64_t taken = nanoseconds(Clock::now() - start);
  busy_ns_ += taken;
  ++tasks_;
  const std::lock_guard lock(mutex_);
  OpStatistics& op = ops_[item.op];
  ++op.calls;
  op.busy_ns += taken;
}

StreamStatistics CpuStream::statistics() const {
  const std::lock_guard lock(mutex_);
  // A wait under way counts as far as it has come.
  const uint64_t waiting = waiting_since_ ? nanoseconds(Clock::now() - *waiting_since_) : 0;
  return {.tasks = tasks_, .busy_ns = busy_ns_, .idle_ns = idle_ns_ + waiting, .waits = waits_, .copies = 0};
}

std::map<std::string, OpStatistics> CpuStream::op_statistics() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, OpStatistics> named;
  for (const auto& [op, taken] : ops_) {
    OpStatistics& sum = named[op];
    sum.calls += taken.calls;
    sum.busy_ns += taken.busy_ns;
  }
  return named;
}

}  // namespace cae
