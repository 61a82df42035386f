#pragma once

#include <cstddef>
#include <cstring>
#include <mutex>

namespace cae {

// Where a download goes. Its owner may take the memory back before the copy has been made.
class HostMemory {
 public:
  explicit HostMemory(void* data) : data_(static_cast<char*>(data)) {}
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  // Does nothing once it is closed.
  void write(size_t at, const void* from, size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (data_ != nullptr) std::memcpy(data_ + at, from, bytes);
  }
  // Waits for a copy under way.
  void close() {
    const std::lock_guard lock(mutex_);
    data_ = nullptr;
  }

 private:
  std::mutex mutex_;
  char* data_;
};

}  // namespace cae
