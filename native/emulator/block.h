#pragma once

#include <cstddef>
#include <functional>

#include "emulator/cuda.h"

namespace cae::emulator {

// Runs body() for every thread of every block of a grid, on the calling thread. Threads of a block are fibers
// that run until they wait for others; the order in which they run alternates from block to block and from
// launch to launch, so that a missing barrier does not go unseen by luck. Shared memory starts as NaN. Throws
// Error naming the op when some threads of a block wait for others that never come.
void run_grid(const char* op, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

// Queues work of the CPU on the emulated device's stream: what a library does on a real one.
void enqueue_host(const char* op, std::function<void()> task);

}  // namespace cae::emulator
