// Copies from the host beside the emulated stream's work: a second queue, held to the first by events.
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>

#include "core/cuda_device.h"
#include "emulator/queue.h"

namespace cae {
namespace {

CpuStream& copies() {
  static auto* it = new CpuStream();
  return *it;
}

// A point of a stream that another one waits for.
class Event {
 public:
  void reach() {
    {
      const std::lock_guard lock(mutex_);
      reached_ = true;
    }
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
};

std::shared_ptr<Event> record(CpuStream& on) {
  auto event = std::make_shared<Event>();
  on.always([event] { event->reach(); });
  return event;
}

void wait_for(CpuStream& on, std::shared_ptr<Event> event) {
  on.always([event = std::move(event)] { event->wait(); });
}

std::atomic<uint64_t> copied{0};

}  // namespace

uint64_t emulator::copies_made() {
  return copied;
}

void cuda::upload_beside(int, const std::vector<HostCopy>& list) {
  emulator::check_not_recording("upload");
  static std::shared_ptr<Event> fence;  // of the last call
  if (fence) wait_for(copies(), fence);
  fence = record(emulator::stream());
  for (const auto& [to, from, bytes] : list) {
    const std::shared_ptr<char[]> staged(new char[bytes]);
    std::memcpy(staged.get(), from, bytes);
    copies().always([staged, to = to, bytes = bytes] {
      std::memcpy(to, staged.get(), bytes);
      ++copied;
    });
  }
  wait_for(emulator::stream(), record(copies()));
}

}  // namespace cae
