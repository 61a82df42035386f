#include "emulator/block.h"

#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "emulator/fiber.h"

namespace cae::emulator {
namespace {

// Where threads wait for each other: the last to arrive opens it.
struct Barrier {
  unsigned arrived = 0;
  uint64_t openings = 0;
};

struct Thread {
  Fiber fiber;
  Place place;
  bool done = false;
  const Barrier* waits_at = nullptr;
  uint64_t opening = 0;
};

struct Warp {
  Barrier given, taken;
  std::array<uint64_t, kWarp> values{};
  unsigned threads = 0;
};

// Bytes that mean NaN in every floating type, and nonsense in the others.
constexpr unsigned char kPoison = 0xff;

struct StaticShared {
  const char* file;
  int line;
  std::unique_ptr<char[]> memory;
};

struct Block {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Warp> warps;
  Barrier all;
  size_t size = 0;
  std::unique_ptr<char[]> dynamic;
  std::vector<StaticShared> statics;
  const std::function<void()>* body = nullptr;
  Thread* running = nullptr;
  std::exception_ptr error;  // of a thread
};

thread_local Block* current = nullptr;
uint64_t launches = 0;  // touched by the stream's one thread

void run_thread() {
  Thread* thread = current->running;
  thread->fiber.arrived();
  try {
    (*current->body)();
  } catch (...) {
    current->error = std::current_exception();
  }
  thread->done = true;
  thread->fiber.leave(true);
}

void wait_at(Barrier& barrier, unsigned expected) {
  if (++barrier.arrived == expected) {
    barrier.arrived = 0;
    ++barrier.openings;
    return;
  }
  Thread* thread = current->running;
  thread->waits_at = &barrier;
  thread->opening = barrier.openings;
  thread->fiber.leave(false);
}

void run_block(const char* op, Block& block, dim3 index, bool backwards) {
  for (Warp& warp : block.warps) warp.given = warp.taken = {};
  block.all = {};
  block.statics.clear();
  for (size_t i = 0; i < block.size; ++i) {
    Thread& thread = *block.threads[i];
    thread.place.block = index;
    thread.done = false;
    thread.waits_at = nullptr;
    thread.fiber.prepare(&run_thread);
  }
  for (size_t left = block.size; left > 0;) {
    bool moved = false;
    for (size_t i = 0; i < block.size; ++i) {
      Thread& thread = *block.threads[backwards ? block.size - 1 - i : i];
      if (thread.done) continue;
      if (thread.waits_at != nullptr && thread.waits_at->openings == thread.opening) continue;
      thread.waits_at = nullptr;
      block.running = &thread;
      thread.fiber.resume();
      if (block.error) std::rethrow_exception(std::exchange(block.error, nullptr));
      moved = true;
      if (thread.done) --left;
    }
    check(moved, op, "in the emulator, ", left, " threads of block ", index.x, ",", index.y,
          " wait for others that never come");
  }
}

}  // namespace

const Place& place() {
  return current->running->place;
}

void wait_for_block() {
  wait_at(current->all, static_cast<unsigned>(current->size));
}

uint64_t exchange(uint64_t mine, unsigned lane) {
  const Place& here = place();
  const dim3& size = here.block_size;
  const unsigned thread = here.thread.x + size.x * (here.thread.y + size.y * here.thread.z);
  Warp& warp = current->warps[thread / kWarp];
  warp.values[thread % kWarp] = mine;
  wait_at(warp.given, warp.threads);
  // Of a lane that is not there, the hardware answers something; the kernels must not ask.
  check(lane < warp.threads, "emulator", "a shuffle reads lane ", lane, " of a warp of ", warp.threads);
  const uint64_t other = warp.values[lane];
  wait_at(warp.taken, warp.threads);
  return other;
}

void* dynamic_shared() {
  return current->dynamic.get();
}

void* static_shared(const char* file, int line, size_t bytes) {
  for (const StaticShared& known : current->statics)
    if (known.file == file && known.line == line) return known.memory.get();
  auto memory = std::make_unique<char[]>(bytes);
  std::memset(memory.get(), kPoison, bytes);
  current->statics.push_back({file, line, std::move(memory)});
  return current->statics.back().memory.get();
}

void run_grid(const char* op, dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()>& body) {
  static thread_local Block block;
  const size_t threads = size_t{size.x} * size.y * size.z;
  check(threads >= 1 && threads <= 1024 && size_t{grid.x} * grid.y * grid.z >= 1 && grid.y <= 65535 &&
            grid.z <= 65535 && shared_bytes <= (size_t{48} << 10),
        op, "no device takes blocks of ", threads, " threads in a grid of ", grid.x, "x", grid.y, "x", grid.z,
        " with ", shared_bytes, " bytes of shared memory");
  while (block.threads.size() < threads) block.threads.push_back(std::make_unique<Thread>());
  block.size = threads;
  block.body = &body;
  block.dynamic = std::make_unique<char[]>(shared_bytes);
  block.warps.assign((threads + kWarp - 1) / kWarp, {});
  for (size_t w = 0; w < block.warps.size(); ++w)
    block.warps[w].threads = static_cast<unsigned>(std::min<size_t>(kWarp, threads - w * kWarp));
  for (size_t i = 0; i < threads; ++i) {
    const auto at = static_cast<unsigned>(i);
    block.threads[i]->place = {.thread = {at % size.x, at / size.x % size.y, at / size.x / size.y},
                               .block = {},
                               .block_size = size,
                               .grid_size = grid,
                               .lane = at % kWarp};
  }
  current = &block;
  uint64_t number = launches++;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x, ++number) {
        std::memset(block.dynamic.get(), kPoison, shared_bytes);
        run_block(op, block, {x, y, z}, number % 2 == 1);
      }
  current = nullptr;
}

}  // namespace cae::emulator
