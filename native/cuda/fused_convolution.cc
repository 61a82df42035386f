// A convolution with what follows it as one graph of cuDNN's: the sum with the bias and the relu happen on
// the numbers that the product leaves in registers, and memory sees the result alone. Engines that are
// compiled at run time take such graphs in f16 and bf16 from compute capability 8.0 on.
#include <map>
#include <optional>
#include <tuple>

#include "cuda/driver.h"
#include "cuda/graph_builder.h"
#include "cuda/library.h"

namespace cae::cuda {
namespace {

constexpr int64_t kWorkspace = int64_t{1} << 30;  // no engine may want more
// An engine is compiled for each shape, a second or two. Results from this size on win that back in a run.
constexpr int64_t kWorthwhile = int64_t{1} << 24;  // bytes
constexpr auto op = "conv2d";

enum Tensors : int64_t { X = 1, Weight, Bias, Y };

struct Epilogue {
  bool bias, relu;
};

// A tensor [batch, channels, height, width] that lies as NHWC.
GraphLayout picture(const Shape& s) {
  return {{s[0], s[3], s[1], s[2]}, {s[1] * s[2] * s[3], 1, s[2] * s[3], s[3]}};
}

std::optional<GraphPlan> make_plan(const Convolution& g, Epilogue after) {
  const cudnnDataType_t type = g.dtype == Dtype::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
  const GraphLayout result = picture(g.y);
  GraphBuilder graph(op);
  // What one operation leaves to the next is kept in f32; the last one writes Y.
  const auto into = [&](bool last) {
    return last ? graph.memory(Y, type, result) : graph.passing(CUDNN_DATA_FLOAT, result);
  };
  GraphBuilder::Value last =
      graph.convolution(graph.memory(X, type, picture(g.x)),
                        graph.memory(Weight, type, picture({g.y[3], g.kernel, g.kernel, g.x[3]})), g.stride,
                        g.padding, into(!after.bias && !after.relu));
  if (after.bias)
    last =
        graph.pointwise(CUDNN_POINTWISE_ADD, last,
                        graph.memory(Bias, CUDNN_DATA_FLOAT, picture({1, 1, 1, g.y[3]})), into(!after.relu));
  if (after.relu) graph.pointwise(CUDNN_POINTWISE_RELU_FWD, last, into(true));
  return graph.plan({.deterministic = true, .workspace = kWorkspace});
}

const std::optional<GraphPlan>& plan_for(const Convolution& g, Epilogue after) {
  using Key = std::tuple<int, std::vector<int64_t>, Dtype, bool, bool>;
  // Never destroyed: at the process's end the driver may be gone.
  static auto& plans = *new std::map<Key, std::optional<GraphPlan>>;
  std::vector<int64_t> extents{g.kernel, g.stride, g.padding};
  for (const Shape* shape : {&g.x, &g.y})
    extents.insert(extents.end(), shape->extents().begin(), shape->extents().end());
  const Key key{selected_device(), extents, g.dtype, after.bias, after.relu};
  auto known = plans.find(key);
  if (known == plans.end()) known = plans.emplace(key, make_plan(g, after)).first;
  return known->second;
}

}  // namespace

bool convolve_with_bias(const Convolution& g, void* x, void* weight, const TensorView& bias, bool relu,
                        void* y) {
  if ((g.dtype != Dtype::BF16 && g.dtype != Dtype::F16) || capability_of_device() < 80) return false;
  if (g.y.numel() * static_cast<int64_t>(dtype_size(g.dtype)) < kWorthwhile) return false;
  for (const void* address : {x, weight, static_cast<void*>(bias.pointer), y})
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  const std::optional<GraphPlan>& plan = plan_for(g, {static_cast<bool>(bias), relu});
  if (!plan) return false;
  std::vector<std::pair<int64_t, void*>> places{{X, x}, {Weight, weight}, {Y, y}};
  if (bias) places.emplace_back(Bias, bias.pointer);
  plan->run(op, places);
  return true;
}

}  // namespace cae::cuda
