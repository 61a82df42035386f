#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace cae::cpu {

// Working memory that grows and is kept: of numbers T, at the start of a cache line, its contents undefined.
template <typename T>
class AlignedRoom {
 public:
  T* of(int64_t count) {
    if (count > count_) {
      constexpr size_t kLine = 64;
      room_.reset();
      count_ = 0;
      const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
      room_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes)));
      if (!room_) throw std::bad_alloc();
      count_ = count;
    }
    return room_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> room_;
  int64_t count_ = 0;
};

}  // namespace cae::cpu
