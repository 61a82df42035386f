// Recorded work of the emulated device: its tasks, to be queued again.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/cuda_device.h"
#include "core/error.h"
#include "emulator/queue.h"

namespace cae::emulator {
namespace {

class Recording final : public cuda::RecordedWork {
 public:
  // The device's tasks refer to this: they run before it goes.
  ~Recording() override { stream().drain(); }

  void run() override {
    check_not_recording("runRecorded");
    for (const auto& [op, task] : tasks) stream().enqueue(op, [&task = task] { task(); });
  }

  std::vector<std::pair<const char*, std::function<void()>>> tasks;
  std::shared_ptr<CachingAllocator> memory = make_memory(&queue);
};

// Touched by the host's one thread.
std::unique_ptr<Recording> current;
std::vector<std::weak_ptr<CachingAllocator>> memories;

}  // namespace

CpuStream& stream() {
  static auto* it = new CpuStream();
  return *it;
}

void queue(const char* op, std::function<void()> task) {
  if (current)
    current->tasks.emplace_back(op, std::move(task));
  else
    stream().enqueue(op, std::move(task));
}

void check_not_recording(const char* op) {
  check(!current, op, "work is being recorded, which neither copies from and to the host nor waits");
}

std::shared_ptr<CachingAllocator> recorded_memory() {
  return current ? current->memory : nullptr;
}

void add_recorded(MemoryStatistics& statistics) {
  std::erase_if(memories, [](const auto& memory) { return memory.expired(); });
  for (const auto& memory : memories)
    if (const auto one = memory.lock()) statistics.add(one->statistics());
}

}  // namespace cae::emulator

namespace cae::cuda {

void start_recording(int index) {
  select(index);
  emulator::check_not_recording("startRecording");
  emulator::current = std::make_unique<emulator::Recording>();
  emulator::memories.push_back(emulator::current->memory);
}

std::unique_ptr<RecordedWork> finish_recording(int index) {
  select(index);
  check(emulator::current != nullptr, "finishRecording", "nothing is being recorded");
  return std::move(emulator::current);
}

void abandon_recording(int index) {
  select(index);
  const auto dropped = std::move(emulator::current);
}

}  // namespace cae::cuda
