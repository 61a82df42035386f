#include "cuda/cudnn_graph.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "cuda/context.h"

namespace cae::cuda {
namespace {

constexpr int64_t kEngines = 8;  // candidates that are tried, best first

// Whether the engine of a candidate promises the same bits from run to run.
bool deterministic(const char* op, const GraphDescriptor& config) {
  const GraphDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, op);
  cudnnBackendDescriptor_t raw = engine.get();
  int64_t found = 0;
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  if (cudnn().cudnnBackendGetAttribute(config.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &found,
                                       &raw) != CUDNN_STATUS_SUCCESS ||
      cudnn().cudnnBackendGetAttribute(raw, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                       notes.size(), &found, notes.data()) != CUDNN_STATUS_SUCCESS)
    return false;
  const auto end = notes.begin() + std::min<int64_t>(found, notes.size());
  return std::find(notes.begin(), end, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == end;
}

// The engines that the library's heuristics of this mode would run a graph with, best first.
std::vector<GraphDescriptor> candidates(const char* op, const GraphDescriptor& graph,
                                        cudnnBackendHeurMode_t mode) {
  GraphDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, op);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  std::vector<GraphDescriptor> configs;
  if (!heuristics.try_finalize()) return configs;
  std::array<cudnnBackendDescriptor_t, kEngines> raw{};
  for (cudnnBackendDescriptor_t& config : raw)
    config = configs.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, op).get();
  int64_t found = 0;
  if (cudnn().cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, kEngines, &found,
                                       raw.data()) != CUDNN_STATUS_SUCCESS)
    found = 0;
  while (static_cast<int64_t>(configs.size()) > std::max<int64_t>(found, 0)) configs.pop_back();
  return configs;
}

}  // namespace

GraphDescriptor::GraphDescriptor(cudnnBackendDescriptorType_t type, const char* op) : op_(op) {
  check_cudnn(cudnn().cudnnBackendCreateDescriptor(type, &descriptor_), op);
}

GraphDescriptor::~GraphDescriptor() {
  if (descriptor_ != nullptr) cudnn().cudnnBackendDestroyDescriptor(descriptor_);
}

void GraphDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                          const void* values) {
  check_cudnn(cudnn().cudnnBackendSetAttribute(descriptor_, name, type, count, values), op_);
}

void GraphDescriptor::set(cudnnBackendAttributeName_t name, const GraphDescriptor& value) {
  const cudnnBackendDescriptor_t inner = value.get();
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &inner);
}

void GraphDescriptor::finalize() {
  check_cudnn(cudnn().cudnnBackendFinalize(descriptor_), op_);
}

bool GraphDescriptor::try_finalize() {
  return cudnn().cudnnBackendFinalize(descriptor_) == CUDNN_STATUS_SUCCESS;
}

GraphDescriptor graph_tensor(const char* op, int64_t id, cudnnDataType_t type, const GraphLayout& layout,
                             GraphPlace place) {
  const bool passing = place == GraphPlace::Passing;
  const int64_t alignment = 16;
  GraphDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, op);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, layout.extents.data());
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, layout.strides.data());
  tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &passing);
  tensor.finalize();
  return tensor;
}

GraphDescriptor graph_scalar(const char* op, int64_t id) {
  const int64_t alignment = 4;
  const int64_t ones[] = {1, 1, 1, 1};
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const bool by_value = true;
  GraphDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, op);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, ones);
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, ones);
  tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
  tensor.finalize();
  return tensor;
}

std::optional<GraphPlan> GraphPlan::make(const char* op, std::vector<GraphDescriptor> operations,
                                         std::vector<GraphDescriptor> parts, const Wanted& wanted) {
  const cudnnHandle_t handle = cudnn_handle();
  GraphDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, op);
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const GraphDescriptor& operation : operations) raw.push_back(operation.get());
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(raw.size()),
            raw.data());
  if (!graph.try_finalize()) return std::nullopt;

  // Where mode A knows nothing of a graph, or names no engine that takes it, the library has others to fall
  // back on.
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (GraphDescriptor& config : candidates(op, graph, mode)) {
      if (wanted.deterministic && !deterministic(op, config)) continue;
      GraphDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, op);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      if (!plan.try_finalize()) continue;
      GraphPlan made;
      int64_t count = 0;
      check_cudnn(cudnn().cudnnBackendGetAttribute(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                   CUDNN_TYPE_INT64, 1, &count, &made.workspace_),
                  op);
      if (made.workspace_ > wanted.workspace) continue;
      made.parts_ = std::move(parts);
      for (GraphDescriptor& operation : operations) made.parts_.push_back(std::move(operation));
      made.parts_.push_back(std::move(graph));
      made.parts_.push_back(std::move(config));
      made.plan_.push_back(std::move(plan));
      return made;
    }
  return std::nullopt;
}

void GraphPlan::run(const char* op, const std::vector<std::pair<int64_t, void*>>& places) const {
  std::vector<int64_t> ids;
  std::vector<void*> addresses;
  for (const auto& [id, address] : places) {
    ids.push_back(id);
    addresses.push_back(address);
  }
  const Scratch room(static_cast<size_t>(workspace_));
  void* workspace = room.as<void>();
  GraphDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, op);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, static_cast<int64_t>(ids.size()),
           ids.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<int64_t>(addresses.size()),
           addresses.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.finalize();
  check_cudnn(cudnn().cudnnBackendExecute(cudnn_handle(), plan_.front().get(), pack.get()), op);
}

}  // namespace cae::cuda
