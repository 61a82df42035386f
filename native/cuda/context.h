#pragma once

#include <cstddef>
#include <cstdint>

#include "core/allocator.h"

// What the ops of cuda/ know of the selected device (cuda::select of core/cuda_device.h). Includes nothing of
// CUDA's, so that the emulator can define it too.
namespace cae::cuda {

// A kernel cannot throw: it leaves a note of bad data here, and the next notify or synchronize throws it.
struct Fault {
  enum Kind : int {
    None,
    CrossEntropyLabel,
    SmoothCrossEntropyLabel,
    LabelRanksLabel,
    UnfoldPatchesIndex,
    EmbedTokensIndex,
    GatherRowsIndex,
    PositionBiasIndex,
    MixImagesPartner
  };
  int kind = None;
  int64_t value = 0;  // what was found
  int64_t place = 0;  // where
  int64_t limit = 0;  // values lie in [0, limit)
};
// Throws the Error that a note stands for and clears it; returns where there is none.
void throw_fault(Fault& fault);

// The selected device's note, at an address that its kernels can write.
Fault* fault_of_device();
// Multiprocessors of the selected device.
int processors();
CachingAllocator& memory_of_device();

// Memory of the selected device for the kernels of one op. It may go as soon as they are queued: whoever gets
// it next queues its work behind them.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : memory_(memory_of_device()), data_(memory_.allocate(bytes)) {}
  ~Scratch() { memory_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  CachingAllocator& memory_;
  void* data_;
};

}  // namespace cae::cuda
