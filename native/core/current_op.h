#pragma once

namespace cae {

// The op that this thread is carrying out, for reports of who holds memory; null outside of one.
inline thread_local const char* current_op = nullptr;

// Names it while it lives.
class OpScope {
 public:
  explicit OpScope(const char* op) : before_(current_op) { current_op = op; }
  ~OpScope() { current_op = before_; }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

 private:
  const char* before_;
};

}  // namespace cae
