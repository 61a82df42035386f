// Recorded work: a CUDA graph, captured from the stream, with memory of its own.
#include <utility>

#include "core/cuda_device.h"
#include "core/error.h"
#include "cuda/device_context.h"
#include "cuda/driver.h"

namespace cae::cuda {
namespace {

class CapturedGraph final : public RecordedWork {
 public:
  CapturedGraph(Context& context, cudaGraph_t graph, std::shared_ptr<CachingAllocator> memory)
      : context_(context), memory_(std::move(memory)) {
    const cudaError_t code = cudaGraphInstantiate(&exec_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(code, "finishRecording");
  }

  // The stream's work refers to its memory: it ends before that goes.
  ~CapturedGraph() override {
    cudaSetDevice(context_.index);
    ++context_.waits;
    cudaStreamSynchronize(context_.stream);
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
  }

  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;

  void run() override {
    select(context_.index);
    check_cuda(cudaGraphLaunch(exec_, context_.stream), "runRecorded");
  }

 private:
  Context& context_;
  std::shared_ptr<CachingAllocator> memory_;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace

void start_recording(int index) {
  Context& context = open(index);
  check(context.recorded == nullptr, "startRecording", "work is being recorded already");
  std::shared_ptr<CachingAllocator> memory = make_memory(context);
  // Relaxed: what the recorded work needs of memory is taken from the driver as it comes.
  check_cuda(cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeRelaxed), "startRecording");
  context.memories.push_back(memory);
  context.recorded = std::move(memory);
}

std::unique_ptr<RecordedWork> finish_recording(int index) {
  Context& context = open(index);
  check(context.recorded != nullptr, "finishRecording", "nothing is being recorded");
  const auto memory = std::exchange(context.recorded, nullptr);
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(context.stream, &graph), "finishRecording");
  return std::make_unique<CapturedGraph>(context, graph, memory);
}

void abandon_recording(int index) {
  Context& context = open(index);
  if (context.recorded == nullptr) return;
  const auto memory = std::exchange(context.recorded, nullptr);
  cudaGraph_t graph = nullptr;
  // A capture that failed says so again when it ends.
  if (cudaStreamEndCapture(context.stream, &graph) == cudaSuccess && graph != nullptr)
    cudaGraphDestroy(graph);
  cudaGetLastError();
}

}  // namespace cae::cuda
