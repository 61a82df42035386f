// Attention as one operation of cuDNN's graph: forward since 9.13, backward since 9.17, f16 and bf16, heads
// of a multiple of 8 numbers up to 128, compute capability 8.0 and up. Heads are read where they lie in a
// fused projection.
#include <map>
#include <optional>
#include <tuple>

#include "cuda/cudnn_graph.h"
#include "cuda/driver.h"
#include "cuda/library.h"

namespace cae::cuda {
namespace {

enum Tensors : int64_t { Q = 1, K, V, Out, LogSum, Scale, Dout, Dq, Dk, Dv };

// All that a plan depends on.
using Key = std::tuple<int, bool, Dtype, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;

Key key_of(bool backward, Dtype dtype, const AttentionLayout& a) {
  return {selected_device(), backward,   dtype,      a.batch, a.heads,
          a.head_dim,        a.q_length, a.k_length, a.q_row, a.kv_row};
}

bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

// Whether the library may be asked at all.
bool suits(Dtype dtype, const AttentionLayout& a, size_t since) {
  return (dtype == Dtype::BF16 || dtype == Dtype::F16) && a.head_dim % 8 == 0 && a.head_dim <= 128 &&
         a.q_row % 8 == 0 && a.kv_row % 8 == 0 && capability_of_device() >= 80 && cudnn().version >= since;
}

// The tensors of a call, [batch, heads, length, head_dim] over rows of `row` elements.
struct Graph {
  Graph(const char* name, Dtype dtype, const AttentionLayout& layout)
      : op(name), type(dtype == Dtype::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF), a(layout) {}

  GraphDescriptor heads(int64_t id, int64_t length, int64_t row) const {
    return graph_tensor(op, id, type, {a.batch, a.heads, length, a.head_dim},
                        {length * row, a.head_dim, row, 1});
  }
  GraphDescriptor queries(int64_t id) const { return heads(id, a.q_length, a.q_row); }
  GraphDescriptor keys(int64_t id) const { return heads(id, a.k_length, a.kv_row); }
  GraphDescriptor results(int64_t id) const { return heads(id, a.q_length, a.heads * a.head_dim); }
  GraphDescriptor log_sums(int64_t id) const {
    return graph_tensor(op, id, CUDNN_DATA_FLOAT, {a.batch, a.heads, a.q_length, 1},
                        {a.heads * a.q_length, a.q_length, 1, 1});
  }

  const char* op;
  cudnnDataType_t type;
  const AttentionLayout& a;
};

#if CUDNN_VERSION >= 91700
constexpr size_t kForwardSince = 91300;
constexpr size_t kBackwardSince = 91700;

std::optional<GraphPlan> forward_plan(const Graph& g) {
  GraphPlan::Attributes tensors;
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, g.queries(Q));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, g.keys(K));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, g.keys(V));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, g.results(Out));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, g.log_sums(LogSum));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, graph_scalar(g.op, Scale));
  return GraphPlan::make(g.op, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, std::move(tensors));
}

std::optional<GraphPlan> backward_plan(const Graph& g) {
  GraphPlan::Attributes tensors;
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, g.queries(Q));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, g.keys(K));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, g.keys(V));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, g.results(Out));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, g.results(Dout));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, g.log_sums(LogSum));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC, graph_scalar(g.op, Scale));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, g.queries(Dq));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, g.keys(Dk));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, g.keys(Dv));
  return GraphPlan::make(g.op, CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR, std::move(tensors));
}
#else
// Headers from before the operation: never asked.
constexpr size_t kForwardSince = SIZE_MAX;
constexpr size_t kBackwardSince = SIZE_MAX;
std::optional<GraphPlan> forward_plan(const Graph&) {
  return std::nullopt;
}
std::optional<GraphPlan> backward_plan(const Graph&) {
  return std::nullopt;
}
#endif

const std::optional<GraphPlan>& plan_for(bool backward, const Graph& g, Dtype dtype) {
  // Never destroyed: at the process's end the driver may be gone.
  static auto& plans = *new std::map<Key, std::optional<GraphPlan>>;
  const Key key = key_of(backward, dtype, g.a);
  auto known = plans.find(key);
  if (known == plans.end()) known = plans.emplace(key, backward ? backward_plan(g) : forward_plan(g)).first;
  return known->second;
}

// A part of a fused projection.
void* at(const TensorView& tensor, int64_t offset) {
  return static_cast<char*>(tensor.pointer) + static_cast<size_t>(offset) * dtype_size(tensor.dtype);
}

}  // namespace

bool fused_attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                             const AttentionLayout& a, const TensorView& out, const TensorView& log_sum) {
  void* const keys = at(k, a.k_offset);
  void* const values = at(v, a.v_offset);
  if (!suits(q.dtype, a, kForwardSince) || !aligned({q.pointer, keys, values, out.pointer})) return false;
  const Graph graph("attention", q.dtype, a);
  const std::optional<GraphPlan>& plan = plan_for(false, graph, q.dtype);
  if (!plan) return false;
  auto scale = static_cast<float>(a.scale);
  plan->run(graph.op, {{Q, q.pointer},
                       {K, keys},
                       {V, values},
                       {Out, out.pointer},
                       {LogSum, log_sum.pointer},
                       {Scale, &scale}});
  return true;
}

bool fused_attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k,
                              const TensorView& v, const AttentionLayout& a, const TensorView& out,
                              const TensorView& log_sum, const TensorView& dq, const TensorView& dk,
                              const TensorView& dv) {
  void* const keys = at(k, a.k_offset);
  void* const values = at(v, a.v_offset);
  void* const dkeys = at(dk, a.k_offset);
  void* const dvalues = at(dv, a.v_offset);
  if (!suits(q.dtype, a, kBackwardSince) ||
      !aligned({q.pointer, keys, values, out.pointer, dout.pointer, dq.pointer, dkeys, dvalues}))
    return false;
  const Graph graph("attention_backward", q.dtype, a);
  const std::optional<GraphPlan>& plan = plan_for(true, graph, q.dtype);
  if (!plan) return false;
  auto scale = static_cast<float>(a.scale);
  plan->run(graph.op, {{Q, q.pointer},
                       {K, keys},
                       {V, values},
                       {Out, out.pointer},
                       {LogSum, log_sum.pointer},
                       {Scale, &scale},
                       {Dout, dout.pointer},
                       {Dq, dq.pointer},
                       {Dk, dkeys},
                       {Dv, dvalues}});
  return true;
}

}  // namespace cae::cuda
