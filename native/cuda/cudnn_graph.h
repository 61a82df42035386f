#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "cuda/cudnn_library.h"

namespace cae::cuda {

// A descriptor of cuDNN's backend API, destroyed with its owner. What it refers to must live as long as it
// does.
class GraphDescriptor {
 public:
  GraphDescriptor(cudnnBackendDescriptorType_t type, const char* op);
  ~GraphDescriptor();
  GraphDescriptor(GraphDescriptor&& other) noexcept
      : op_(other.op_), descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  GraphDescriptor(const GraphDescriptor&) = delete;
  GraphDescriptor& operator=(const GraphDescriptor&) = delete;

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
           const void* values);
  void set(cudnnBackendAttributeName_t name, const GraphDescriptor& value);
  void finalize();
  // As finalize, but answers whether the library can do it.
  bool try_finalize();
  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  const char* op_;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

// Extents and strides of a tensor of a graph, in elements.
struct GraphLayout {
  std::array<int64_t, 4> extents, strides;
};

// A tensor of a graph under its number in it. What only passes from one operation to the next is never in
// memory.
enum class GraphPlace { Memory, Passing };
GraphDescriptor graph_tensor(const char* op, int64_t id, cudnnDataType_t type, const GraphLayout& layout,
                             GraphPlace place = GraphPlace::Memory);
// A float that is passed by value.
GraphDescriptor graph_scalar(const char* op, int64_t id);

// A graph of operations, ready to run.
class GraphPlan {
 public:
  // Which of the library's engines may run it.
  struct Wanted {
    bool deterministic = false;  // sums in the same order from run to run
    int64_t workspace = INT64_MAX;
  };
  // A graph of finalized operations; `parts` are what they refer to. Nothing where no engine of the library
  // takes it on this device.
  static std::optional<GraphPlan> make(const char* op, std::vector<GraphDescriptor> operations,
                                       std::vector<GraphDescriptor> parts, const Wanted& wanted);
  // `places`: the address of each tensor by its number.
  void run(const char* op, const std::vector<std::pair<int64_t, void*>>& places) const;

 private:
  GraphPlan() = default;
  std::vector<GraphDescriptor> parts_;  // all that the plan was made of
  std::vector<GraphDescriptor> plan_;   // one
  int64_t workspace_ = 0;
};

}  // namespace cae::cuda
