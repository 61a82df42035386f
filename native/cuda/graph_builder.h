#pragma once

#include <optional>
#include <vector>

#include "cuda/cudnn_graph.h"

namespace cae::cuda {

// Puts a graph of cuDNN's elementary operations together, each computing in f32. Tensors are numbered as they
// are made unless they have a number of the caller's; an operation that the library refuses makes the whole
// graph impossible.
class GraphBuilder {
 public:
  using Value = const GraphDescriptor*;

  explicit GraphBuilder(const char* op);

  // A tensor in memory under this number.
  Value memory(int64_t id, cudnnDataType_t type, const GraphLayout& layout);
  // One that only passes from an operation to the next.
  Value passing(cudnnDataType_t type, const GraphLayout& layout);
  // A float passed by value under this number.
  Value scalar(int64_t id);

  // y = mode(x), y = mode(x, b), with b broadcast along extents of 1
  Value pointwise(cudnnPointwiseMode_t mode, Value x, Value y);
  Value pointwise(cudnnPointwiseMode_t mode, Value x, Value b, Value y);
  // c = a·b over the last two axes
  Value matmul(Value a, Value b, Value c);
  // y = sums, or another reduction, of x over the axes in which y has an extent of 1
  Value reduce(cudnnReduceTensorOp_t by, Value x, Value y);
  // y = x in y's layout and dtype
  Value reshape(Value x, Value y);
  // y = the convolution of x with weights, NHWC by their strides
  Value convolution(Value x, Value weight, int64_t stride, int64_t padding, Value y);

  // The plan of what was put together, which is then gone. Nothing where no engine of the library takes it.
  std::optional<GraphPlan> plan(const GraphPlan::Wanted& wanted);

 private:
  Value keep(GraphDescriptor&& part);
  // How an operation computes: a descriptor of `type` with the one attribute that says f32.
  GraphDescriptor in_f32(cudnnBackendDescriptorType_t type, cudnnBackendAttributeName_t precision);
  GraphDescriptor& operation(cudnnBackendDescriptorType_t type);
  void finish(GraphDescriptor& operation);

  const char* op_;
  int64_t next_id_ = 1 << 20;  // of tensors that nobody names
  bool possible_ = true;
  std::vector<GraphDescriptor> parts_, operations_;
};

}  // namespace cae::cuda
