#include "cuda/graph_builder.h"

#include "core/error.h"

namespace cae::cuda {
namespace {

// More than any graph here has: what was made stays where it is, and others refer to it.
constexpr size_t kMostParts = 64;

}  // namespace

GraphBuilder::GraphBuilder(const char* op) : op_(op) {
  parts_.reserve(kMostParts);
  operations_.reserve(kMostParts);
}

GraphBuilder::Value GraphBuilder::keep(GraphDescriptor&& part) {
  check(parts_.size() < kMostParts, op_, "a graph of more than ", kMostParts, " parts");
  return &parts_.emplace_back(std::move(part));
}

GraphBuilder::Value GraphBuilder::memory(int64_t id, cudnnDataType_t type, const GraphLayout& layout) {
  return keep(graph_tensor(op_, id, type, layout));
}

GraphBuilder::Value GraphBuilder::passing(cudnnDataType_t type, const GraphLayout& layout) {
  return keep(graph_tensor(op_, next_id_++, type, layout, GraphPlace::Passing));
}

GraphBuilder::Value GraphBuilder::scalar(int64_t id) {
  return keep(graph_scalar(op_, id));
}

GraphDescriptor GraphBuilder::in_f32(cudnnBackendDescriptorType_t type,
                                     cudnnBackendAttributeName_t precision) {
  const cudnnDataType_t f32 = CUDNN_DATA_FLOAT;
  GraphDescriptor made(type, op_);
  made.set(precision, CUDNN_TYPE_DATA_TYPE, 1, &f32);
  return made;
}

GraphDescriptor& GraphBuilder::operation(cudnnBackendDescriptorType_t type) {
  return operations_.emplace_back(type, op_);
}

void GraphBuilder::finish(GraphDescriptor& operation) {
  possible_ = operation.try_finalize() && possible_;
}

GraphBuilder::Value GraphBuilder::pointwise(cudnnPointwiseMode_t mode, Value x, Value y) {
  return pointwise(mode, x, nullptr, y);
}

GraphBuilder::Value GraphBuilder::pointwise(cudnnPointwiseMode_t mode, Value x, Value b, Value y) {
  GraphDescriptor function = in_f32(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC);
  function.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  function.finalize();
  GraphDescriptor& made = operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, *keep(std::move(function)));
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *x);
  if (b != nullptr) made.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  made.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *y);
  finish(made);
  return y;
}

GraphBuilder::Value GraphBuilder::matmul(Value a, Value b, Value c) {
  GraphDescriptor product = in_f32(CUDNN_BACKEND_MATMUL_DESCRIPTOR, CUDNN_ATTR_MATMUL_COMP_TYPE);
  product.finalize();
  GraphDescriptor& made = operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, *keep(std::move(product)));
  made.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *a);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *b);
  made.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *c);
  finish(made);
  return c;
}

GraphBuilder::Value GraphBuilder::reduce(cudnnReduceTensorOp_t by, Value x, Value y) {
  GraphDescriptor reduction = in_f32(CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_ATTR_REDUCTION_COMP_TYPE);
  reduction.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &by);
  reduction.finalize();
  GraphDescriptor& made = operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, *keep(std::move(reduction)));
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x);
  made.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *y);
  finish(made);
  return y;
}

GraphBuilder::Value GraphBuilder::reshape(Value x, Value y) {
  GraphDescriptor& made = operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, *x);
  made.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, *y);
  finish(made);
  return y;
}

GraphBuilder::Value GraphBuilder::convolution(Value x, Value weight, int64_t stride, int64_t padding,
                                              Value y) {
  const int64_t axes = 2;
  const int64_t strides[] = {stride, stride};
  const int64_t paddings[] = {padding, padding};
  const int64_t dilations[] = {1, 1};
  const float one = 1;
  const float zero = 0;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  GraphDescriptor geometry = in_f32(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
  geometry.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  geometry.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  geometry.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes, strides);
  geometry.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes, paddings);
  geometry.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes, paddings);
  geometry.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes, dilations);
  geometry.finalize();
  GraphDescriptor& made = operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, *x);
  made.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, *weight);
  made.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, *y);
  made.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, *keep(std::move(geometry)));
  made.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
  made.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
  finish(made);
  return y;
}

std::optional<GraphPlan> GraphBuilder::plan(const GraphPlan::Wanted& wanted) {
  if (!possible_) return std::nullopt;
  return GraphPlan::make(op_, std::move(operations_), std::move(parts_), wanted);
}

}  // namespace cae::cuda
