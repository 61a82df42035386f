#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "core/dtype.h"
#include "core/shape.h"

namespace cae {

struct MemoryStatistics {
  size_t allocated = 0;       // bytes in live blocks
  size_t peak_allocated = 0;  // largest `allocated` since the start or the last reset_peak
  size_t reserved = 0;        // bytes held from the system
  size_t peak_reserved = 0;
  size_t live_blocks = 0;
  size_t allocations = 0;  // blocks ever handed out

  // Another memory of the same device: peaks as if both had theirs at once.
  void add(const MemoryStatistics& other) {
    allocated += other.allocated;
    peak_allocated += other.peak_allocated;
    reserved += other.reserved;
    peak_reserved += other.peak_reserved;
    live_blocks += other.live_blocks;
    allocations += other.allocations;
  }
};

// A device's own memory, in bytes: other processes and libraries take of it, too.
struct DeviceMemory {
  size_t free = 0;
  size_t total = 0;
};

// What a block is for: the tensor on it, if there is one, and the op it was made in (null: none).
struct Purpose {
  Shape shape{};
  Dtype dtype = Dtype::U8;
  const char* op = nullptr;
};
inline bool operator==(const Purpose& a, const Purpose& b) {
  return a.op == b.op && a.dtype == b.dtype && a.shape == b.shape;
}

// Stream-ordered caching allocator: best fit over large segments, with splitting and coalescing.
//
// A block may be handed out again the moment it is released, although work that was queued before the release
// has not run yet: whoever gets it next queues its work behind. That holds because a device is one queue in
// order. Segments go back to the system only in trim(), which the caller runs on an idle stream.
class CachingAllocator {
 public:
  struct Source {
    std::function<void*(size_t)> acquire;  // null when the system has no more
    std::function<void(void*, size_t)> give_back;
    size_t segment = size_t{32} << 20;  // bytes taken at a time, where a block is no larger
    std::function<void()> drain;        // waits until no queued work can touch a released block
    // What the whole device has, of whoever uses it: for the report of a memory that is used up. Null: not
    // said.
    std::function<DeviceMemory()> memory = nullptr;
    // For a device that checks accesses: bytes left unused behind each block, and what is told of blocks.
    size_t guard = 0;
    std::function<void(void*, size_t)> allocated = nullptr;  // the block and the bytes that were asked for
    std::function<void(void*, size_t)> released = nullptr;   // the block and its size
  };

  CachingAllocator(std::string device, Source source)
      : device_(std::move(device)), source_(std::move(source)) {}
  // Waits for the device and gives everything back: blocks still live are lost.
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  // At least `bytes` bytes, aligned to 64. Throws Error when the memory is used up: the device's figures,
  // what holds most of it, and what to lower. `purpose` goes into that report; its op is the one under way.
  void* allocate(size_t bytes, Purpose purpose = {});
  void release(void* block);
  // Gives segments without live blocks back to the system.
  void trim();

  MemoryStatistics statistics() const;
  void reset_peak();

 private:
  struct Block {
    size_t size = 0;
    char* segment = nullptr;
    bool free = false;
    Purpose purpose{};
  };
  using FreeKey = std::pair<size_t, char*>;

  std::map<char*, Block>::iterator find_or_grow(size_t size, const Purpose& purpose);
  [[noreturn]] void fail_out_of_memory(size_t size, const Purpose& purpose) const;
  void release_idle_segments();

  const std::string device_;
  const Source source_;
  mutable std::mutex mutex_;
  std::map<char*, Block> blocks_;     // by address; neighbours in a segment touch
  std::set<FreeKey> free_;            // by size, then address
  std::map<char*, size_t> segments_;  // start -> size
  MemoryStatistics statistics_;
};

}  // namespace cae
