// A convolution with what follows it as one graph of cuDNN's: the sum with the bias and the relu happen on
// the numbers that the product leaves in registers, and memory sees the result alone. Engines that are
// compiled at run time take such graphs in f16 and bf16 from compute capability 8.0 on.
#include <map>
#include <optional>
#include <tuple>

#include "cuda/cudnn_graph.h"
#include "cuda/driver.h"
#include "cuda/library.h"

namespace cae::cuda {
namespace {

constexpr int64_t kWorkspace = int64_t{1} << 30;  // no engine may want more
// An engine is compiled for each shape, a second or two. Results from this size on win that back in a run.
constexpr int64_t kWorthwhile = int64_t{1} << 24;  // bytes
constexpr auto op = "conv2d";

// X, the weights and the bias come from memory, Y goes there; the product and the sum only pass.
enum Tensors : int64_t { X = 1, Weight, Bias, Y, ProductOnly, SumOnly };

struct Epilogue {
  bool bias, relu;
};

// A tensor [batch, channels, height, width] that lies as NHWC.
GraphDescriptor picture(int64_t id, cudnnDataType_t type, const Shape& s,
                        GraphPlace place = GraphPlace::Memory) {
  return graph_tensor(op, id, type, {s[0], s[3], s[1], s[2]}, {s[1] * s[2] * s[3], 1, s[2] * s[3], s[3]},
                      place);
}

GraphDescriptor geometry(const Convolution& g) {
  const int64_t axes = 2;
  const int64_t stride[] = {g.stride, g.stride};
  const int64_t padding[] = {g.padding, g.padding};
  const int64_t dilation[] = {1, 1};
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  GraphDescriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, op);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes, stride);
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes, padding);
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes, padding);
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes, dilation);
  convolution.finalize();
  return convolution;
}

GraphDescriptor pointwise(cudnnPointwiseMode_t mode) {
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  GraphDescriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, op);
  function.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
  function.finalize();
  return function;
}

std::optional<GraphPlan> make_plan(const Convolution& g, Epilogue after) {
  const cudnnDataType_t type = g.dtype == Dtype::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
  const int64_t in = g.x[3];
  const int64_t out = g.y[3];
  const float one = 1;
  const float zero = 0;
  std::vector<GraphDescriptor> parts;
  parts.reserve(16);  // more than there are: references to parts stay good
  std::vector<GraphDescriptor> operations;
  const auto part = [&](GraphDescriptor&& made) -> const GraphDescriptor& {
    return parts.emplace_back(std::move(made));
  };
  // What one operation leaves to the next is kept in f32; the last one writes Y.
  const auto result = [&](bool last, int64_t id) -> const GraphDescriptor& {
    return part(last ? picture(Y, type, g.y) : picture(id, CUDNN_DATA_FLOAT, g.y, GraphPlace::Passing));
  };

  const GraphDescriptor& product = result(!after.bias && !after.relu, ProductOnly);
  GraphDescriptor& convolution =
      operations.emplace_back(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, op);
  convolution.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, part(picture(X, type, g.x)));
  convolution.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                  part(picture(Weight, type, {out, g.kernel, g.kernel, in})));
  convolution.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, product);
  convolution.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, part(geometry(g)));
  convolution.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
  convolution.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
  if (!convolution.try_finalize()) return std::nullopt;

  const GraphDescriptor* last = &product;
  if (after.bias) {
    const GraphDescriptor& sum = result(!after.relu, SumOnly);
    GraphDescriptor& add = operations.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, op);
    add.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, part(pointwise(CUDNN_POINTWISE_ADD)));
    add.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *last);
    add.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, part(picture(Bias, CUDNN_DATA_FLOAT, {1, 1, 1, out})));
    add.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, sum);
    if (!add.try_finalize()) return std::nullopt;
    last = &sum;
  }
  if (after.relu) {
    GraphDescriptor& relu = operations.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, op);
    relu.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, part(pointwise(CUDNN_POINTWISE_RELU_FWD)));
    relu.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *last);
    relu.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, result(true, Y));
    if (!relu.try_finalize()) return std::nullopt;
  }
  return GraphPlan::make(op, std::move(operations), std::move(parts),
                         {.deterministic = true, .workspace = kWorkspace});
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
