// Attention as one operation of cuDNN's graph: forward since 9.13, backward since 9.17, f16 and bf16, heads
// of a multiple of 8 numbers up to 128, compute capability 8.0 and up. Heads are read where they lie in a
// fused projection.
#include <map>
#include <optional>
#include <tuple>

#include "cuda/context.h"
#include "cuda/driver.h"
#include "cuda/graph_builder.h"
#include "cuda/library.h"

namespace cae::cuda {
namespace {

enum Tensors : int64_t { Q = 1, K, V, Out, LogSum, Scale, One, Dout, Delta, DqSums, Dq, Dk, Dv };

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

  GraphLayout heads(int64_t length, int64_t row) const {
    return {{a.batch, a.heads, length, a.head_dim}, {length * row, a.head_dim, row, 1}};
  }
  GraphLayout queries() const { return heads(a.q_length, a.q_row); }
  GraphLayout keys() const { return heads(a.k_length, a.kv_row); }
  GraphLayout results() const { return heads(a.q_length, a.heads * a.head_dim); }
  GraphLayout log_sums() const {
    return {{a.batch, a.heads, a.q_length, 1}, {a.heads * a.q_length, a.q_length, 1, 1}};
  }
  GraphLayout query_sums() const {
    const int64_t one = a.q_length * a.head_dim;
    return {{a.batch, a.heads, a.q_length, a.head_dim}, {a.heads * one, one, a.head_dim, 1}};
  }
  GraphLayout scores() const {
    return {{a.batch, a.heads, a.q_length, a.k_length},
            {a.heads * a.q_length * a.k_length, a.q_length * a.k_length, a.k_length, 1}};
  }

  const char* op;
  cudnnDataType_t type;
  const AttentionLayout& a;
};

constexpr size_t kBackwardSince = 90600;
#if CUDNN_VERSION >= 91300
constexpr size_t kForwardSince = 91300;

std::optional<GraphPlan> forward_plan(const Graph& g) {
  const auto tensor = [&](int64_t id, const GraphLayout& layout) {
    return graph_tensor(g.op, id, g.type, layout);
  };
  GraphPlan::Attributes tensors;
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, tensor(Q, g.queries()));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, tensor(K, g.keys()));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, tensor(V, g.keys()));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, tensor(Out, g.results()));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC,
                       graph_tensor(g.op, LogSum, CUDNN_DATA_FLOAT, g.log_sums()));
  tensors.emplace_back(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, graph_scalar(g.op, Scale));
  return GraphPlan::make(g.op, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, std::move(tensors));
}
#else
// Headers from before the operation: never asked.
constexpr size_t kForwardSince = SIZE_MAX;
std::optional<GraphPlan> forward_plan(const Graph&) {
  return std::nullopt;
}
#endif

GraphLayout transposed(GraphLayout layout) {
  std::swap(layout.extents[2], layout.extents[3]);
  std::swap(layout.strides[2], layout.strides[3]);
  return layout;
}

// The gradients as the graph of elementary operations that the library knows one kernel for: its single
// operation (…_SDPA_BWD_DESCRIPTOR) has one for compute capability 10 alone. Names as in ops/attention.h; p
// are the probabilities, computed again from the scores and their kept log-sums.
std::optional<GraphPlan> backward_plan(const Graph& g) {
  GraphBuilder graph(g.op);
  constexpr cudnnDataType_t kF32 = CUDNN_DATA_FLOAT;
  const auto in_scores = [&] { return graph.passing(kF32, g.scores()); };
  const auto in_sums = [&] { return graph.passing(kF32, g.log_sums()); };
  // Transposed, the scores lie as they are: only their extents and strides change places.
  const auto transposed_scores = [&](GraphBuilder::Value x) {
    return graph.reshape(x, graph.passing(g.type, transposed(g.scores())));
  };
  const auto q = graph.memory(Q, g.type, g.queries());
  const auto keys_t = graph.memory(K, g.type, transposed(g.keys()));
  const auto values_t = graph.memory(V, g.type, transposed(g.keys()));
  const auto dout = graph.memory(Dout, g.type, g.results());
  const auto scale = graph.scalar(Scale);

  // delta = Σ dout·out, for each query
  const auto product = graph.pointwise(CUDNN_POINTWISE_MUL, dout, graph.memory(Out, g.type, g.results()),
                                       graph.passing(kF32, g.results()));
  const auto delta = graph.pointwise(CUDNN_POINTWISE_MUL, graph.sum(product, in_sums()), graph.scalar(One),
                                     graph.memory(Delta, kF32, g.log_sums()));

  // dv = pᵀ·dout
  const auto scaled =
      graph.pointwise(CUDNN_POINTWISE_MUL, graph.matmul(q, keys_t, in_scores()), scale, in_scores());
  const auto shifted =
      graph.pointwise(CUDNN_POINTWISE_SUB, scaled, graph.memory(LogSum, kF32, g.log_sums()), in_scores());
  const auto p = graph.pointwise(CUDNN_POINTWISE_EXP, shifted, in_scores());
  graph.matmul(transposed_scores(p), dout, graph.memory(Dv, g.type, g.keys()));

  // ds = scale·p·(dout·vᵀ − delta), dk = dsᵀ·q
  const auto centred =
      graph.pointwise(CUDNN_POINTWISE_SUB, graph.matmul(dout, values_t, in_scores()), delta, in_scores());
  const auto weighted = graph.pointwise(CUDNN_POINTWISE_MUL, centred, p, in_scores());
  const auto ds = graph.pointwise(CUDNN_POINTWISE_MUL, weighted, scale, in_scores());
  graph.matmul(transposed_scores(ds), q, graph.memory(Dk, g.type, g.keys()));

  // dq = ds·k, summed in f32
  const GraphLayout sums = g.query_sums();
  const auto total = graph.matmul(ds, graph.reshape(keys_t, graph.passing(g.type, g.keys())),
                                  graph.memory(DqSums, kF32, sums));
  graph.pointwise(CUDNN_POINTWISE_IDENTITY, total, graph.memory(Dq, g.type, g.queries()));
  return graph.plan({});
}

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
  float one = 1;
  const size_t queries = static_cast<size_t>(a.batch * a.heads * a.q_length) * sizeof(float);
  const Scratch delta(queries);
  const Scratch dq_sums(queries * static_cast<size_t>(a.head_dim));
  plan->run(graph.op, {{Q, q.pointer},
                       {K, keys},
                       {V, values},
                       {Out, out.pointer},
                       {LogSum, log_sum.pointer},
                       {Scale, &scale},
                       {One, &one},
                       {Dout, dout.pointer},
                       {Delta, delta.as<void>()},
                       {DqSums, dq_sums.as<void>()},
                       {Dq, dq.pointer},
                       {Dk, dkeys},
                       {Dv, dvalues}});
  return true;
}

}  // namespace cae::cuda
