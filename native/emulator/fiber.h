#pragma once

#include <cstddef>

namespace cae::emulator {

// A stack of its own that code runs on until it switches back. x86-64; AddressSanitizer is told of each
// switch.
class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes entry() the code of the next resume(); it must not return, but end with leave(true).
  void prepare(void (*entry)());
  // Runs the fiber until it leaves.
  void resume();
  // Called on the fiber: back to where resume() was called. `last` if it will not be resumed again.
  void leave(bool last);
  // Called on the fiber, first thing in entry().
  void arrived();

 private:
  static constexpr size_t kStackBytes = size_t{128} << 10;
  char* stack_ = nullptr;
  void* inside_ = nullptr;   // stack pointer of the fiber while it waits
  void* outside_ = nullptr;  // stack pointer of its caller while it runs
  void* caller_fake_stack_ = nullptr;
  void* own_fake_stack_ = nullptr;
  const void* caller_bottom_ = nullptr;
  size_t caller_bytes_ = 0;
};

}  // namespace cae::emulator
