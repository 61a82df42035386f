#include "core/allocator.h"

#include <algorithm>
#include <iterator>

#include "core/current_op.h"
#include "core/error.h"

namespace cae {
namespace {
constexpr size_t kAlignment = 64;
constexpr size_t kPage = size_t{2} << 20;

constexpr size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}
}  // namespace

CachingAllocator::~CachingAllocator() {
  source_.drain();
  for (const auto& [start, size] : segments_) source_.give_back(start, size);
}

void* CachingAllocator::allocate(size_t bytes, Purpose purpose) {
  purpose.op = current_op;
  const size_t size = round_up(std::max<size_t>(bytes + source_.guard, 1), kAlignment);
  const std::lock_guard lock(mutex_);
  const auto at = find_or_grow(size, purpose);
  char* const start = at->first;
  Block& block = at->second;
  free_.erase({block.size, start});
  block.free = false;
  block.purpose = purpose;
  if (block.size - size >= kAlignment) {
    const Block rest{block.size - size, block.segment, true};
    block.size = size;
    blocks_.emplace(start + size, rest);
    free_.insert({rest.size, start + size});
  }
  statistics_.allocated += block.size;
  statistics_.peak_allocated = std::max(statistics_.peak_allocated, statistics_.allocated);
  ++statistics_.live_blocks;
  ++statistics_.allocations;
  if (source_.allocated) source_.allocated(start, bytes);
  return start;
}

std::map<char*, CachingAllocator::Block>::iterator CachingAllocator::find_or_grow(size_t size,
                                                                                  const Purpose& purpose) {
  const auto fit = free_.lower_bound({size, nullptr});
  if (fit != free_.end()) return blocks_.find(fit->second);

  const size_t wanted = round_up(std::max(size, source_.segment), kPage);
  auto* segment = static_cast<char*>(source_.acquire(wanted));
  if (segment == nullptr) {
    source_.drain();
    release_idle_segments();
    segment = static_cast<char*>(source_.acquire(wanted));
  }
  if (segment == nullptr) fail_out_of_memory(size, purpose);
  segments_.emplace(segment, wanted);
  statistics_.reserved += wanted;
  statistics_.peak_reserved = std::max(statistics_.peak_reserved, statistics_.reserved);
  free_.insert({wanted, segment});
  return blocks_.emplace(segment, Block{wanted, segment, true}).first;
}

void CachingAllocator::release(void* pointer) {
  if (pointer == nullptr) return;
  const std::lock_guard lock(mutex_);
  auto at = blocks_.find(static_cast<char*>(pointer));
  check(at != blocks_.end() && !at->second.free, "release", "a block that is not live");
  statistics_.allocated -= at->second.size;
  --statistics_.live_blocks;
  at->second.free = true;
  if (source_.released) source_.released(at->first, at->second.size);

  const auto absorb_next = [this](std::map<char*, Block>::iterator left) {
    const auto right = std::next(left);
    left->second.size += right->second.size;
    blocks_.erase(right);
  };
  if (const auto next = std::next(at);
      next != blocks_.end() && next->second.free && next->second.segment == at->second.segment) {
    free_.erase({next->second.size, next->first});
    absorb_next(at);
  }
  if (at != blocks_.begin()) {
    const auto before = std::prev(at);
    if (before->second.free && before->second.segment == at->second.segment) {
      free_.erase({before->second.size, before->first});
      absorb_next(before);
      at = before;
    }
  }
  free_.insert({at->second.size, at->first});
}

void CachingAllocator::trim() {
  source_.drain();
  const std::lock_guard lock(mutex_);
  release_idle_segments();
}

void CachingAllocator::release_idle_segments() {
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto block = blocks_.find(segment->first);
    if (!block->second.free || block->second.size != segment->second) {
      ++segment;
      continue;
    }
    free_.erase({block->second.size, block->first});
    blocks_.erase(block);
    source_.give_back(segment->first, segment->second);
    statistics_.reserved -= segment->second;
    segment = segments_.erase(segment);
  }
}

MemoryStatistics CachingAllocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak_allocated = statistics_.allocated;
  statistics_.peak_reserved = statistics_.reserved;
}

}  // namespace cae
