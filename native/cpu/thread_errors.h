#pragma once

#include <exception>
#include <mutex>
#include <utility>

namespace cae::cpu {

// An exception must not leave the loop of a parallel region, which would end the process. Threads that
// allocate run what they do there through this; behind the region, whoever began it is told of the first
// failure.
class ThreadErrors {
 public:
  template <typename Body, typename... Arguments>
  void keep(Body&& body, Arguments&&... arguments) noexcept {
    try {
      std::forward<Body>(body)(std::forward<Arguments>(arguments)...);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!first_) first_ = std::current_exception();
    }
  }

  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr first_;
};

}  // namespace cae::cpu
