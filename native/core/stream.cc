#include "core/stream.h"

#include <chrono>
#include <future>
#include <utility>

#include "core/error.h"

namespace cae {
namespace {
uint64_t nanoseconds(std::chrono::steady_clock::duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(d).count());
}

// The same error, with the op's name in front unless it is there already.
std::exception_ptr named(const char* op) {
  try {
    throw;
  } catch (const Error&) {
    return std::current_exception();
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
  worker_.join();
}

void CpuStream::push(Item item) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(item));
  }
  wake_.notify_one();
}

void CpuStream::enqueue(const char* op, std::function<void()> task) {
  push({op, std::move(task), nullptr});
}

void CpuStream::notify(std::function<void(std::exception_ptr)> done) {
  push({"notify", nullptr, std::move(done)});
}

void CpuStream::synchronize() {
  ++waits_;
  std::promise<std::exception_ptr> reached;
  notify([&reached](std::exception_ptr error) { reached.set_value(std::move(error)); });
  if (const auto error = reached.get_future().get()) std::rethrow_exception(error);
}

void CpuStream::drain() {
  ++waits_;
  std::promise<void> reached;
  always([&reached] { reached.set_value(); });
  reached.get_future().get();
}

void CpuStream::always(std::function<void()> task) {
  // A task proper would be dropped after an error; done() without taking it is what is wanted.
  push({"always", nullptr, [this, task = std::move(task)](std::exception_ptr error) {
          error_ = std::move(error);
          task();
        }});
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
  if (item.done) {
    item.done(std::exchange(error_, nullptr));
    return;
  }
  if (error_) return;
  const auto start = Clock::now();
  try {
    item.task();
  } catch (...) {
    error_ = named(item.op);
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
