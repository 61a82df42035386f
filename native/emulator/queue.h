#pragma once

#include <functional>
#include <memory>

#include "core/allocator.h"
#include "core/stream.h"

// The emulated device's queues.
namespace cae::emulator {

// What stands for the device's stream.
CpuStream& stream();
// Queues a task there, or records it while work is recorded.
void queue(const char* op, std::function<void()> task);
// Throws while work is recorded: `op` is nothing that could be.
void check_not_recording(const char* op);
// The memory of the work being recorded; null while none is.
std::shared_ptr<CachingAllocator> recorded_memory();
// Of all memory that recorded work has.
void add_recorded(MemoryStatistics& statistics);

// Memory of the device. `queue` takes what happens to a block in order with the kernels that use it.
using Queue = void (*)(const char* op, std::function<void()> task);
std::unique_ptr<CachingAllocator> make_memory(Queue queue);

// Copies made beside the stream's work so far.
uint64_t copies_made();

}  // namespace cae::emulator
