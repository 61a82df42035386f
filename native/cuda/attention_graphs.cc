#include "cuda/attention_graphs.h"

#include <utility>

namespace cae::cuda {
namespace {

using namespace attention_tensor;
using Value = GraphBuilder::Value;

constexpr cudnnDataType_t kF32 = CUDNN_DATA_FLOAT;

GraphLayout transposed(GraphLayout layout) {
  std::swap(layout.extents[2], layout.extents[3]);
  std::swap(layout.strides[2], layout.strides[3]);
  return layout;
}

// A graph under construction with the layouts of its tensors, [batch, heads, length, head_dim] in memory.
class AttentionGraph : public GraphBuilder {
 public:
  AttentionGraph(const char* op, const AttentionCall& call)
      : GraphBuilder(op),
        type(call.dtype == Dtype::BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF),
        a(call.layout),
        scores(dense(a.batch, a.k_length)),
        one_a_query(dense(a.batch, 1)),
        queries(heads(a.q_length, a.q_row)),
        keys(heads(a.k_length, a.kv_row)),
        results(heads(a.q_length, a.heads * a.head_dim)),
        biased_(call.biased) {}

  // [batch, heads, queries, width], one behind the other.
  GraphLayout dense(int64_t batch, int64_t width) const {
    return {{batch, a.heads, a.q_length, width},
            {a.heads * a.q_length * width, a.q_length * width, width, 1}};
  }
  Value in_scores() { return passing(kF32, scores); }
  Value each_query() { return passing(kF32, one_a_query); }

  // scale·q·kᵀ + bias
  Value biased_scores(Value q, Value keys_t, Value scale) {
    const Value scaled = pointwise(CUDNN_POINTWISE_MUL, matmul(q, keys_t, in_scores()), scale, in_scores());
    if (!biased_) return scaled;
    return pointwise(CUDNN_POINTWISE_ADD, scaled, memory(Bias, kF32, dense(1, a.k_length)), in_scores());
  }
  // Transposed, scores lie as they are: their extents and strides change places.
  Value transposed_scores(Value x) { return reshape(x, passing(type, transposed(scores))); }

  const cudnnDataType_t type;
  const AttentionLayout a;
  const GraphLayout scores, one_a_query, queries, keys, results;

 private:
  GraphLayout heads(int64_t length, int64_t row) const {
    return {{a.batch, a.heads, length, a.head_dim}, {length * row, a.head_dim, row, 1}};
  }
  const bool biased_;
};

}  // namespace

std::optional<GraphPlan> attention_plan(const char* op, const AttentionCall& call) {
  AttentionGraph g(op, call);
  const Value scores = g.biased_scores(g.memory(Q, g.type, g.queries),
                                       g.memory(K, g.type, transposed(g.keys)), g.scalar(Scale));
  const Value top = g.reduce(CUDNN_REDUCE_TENSOR_MAX, scores, g.each_query());
  const Value shifted = g.pointwise(CUDNN_POINTWISE_SUB, scores, top, g.in_scores());
  const Value powers = g.pointwise(CUDNN_POINTWISE_EXP, shifted, g.in_scores());
  const Value total = g.reduce(CUDNN_REDUCE_TENSOR_ADD, powers, g.each_query());
  g.pointwise(CUDNN_POINTWISE_ADD, top, g.pointwise(CUDNN_POINTWISE_LOG, total, g.each_query()),
              g.memory(LogSum, kF32, g.one_a_query));
  const Value p = g.pointwise(CUDNN_POINTWISE_DIV, powers, total, g.passing(g.type, g.scores));
  g.matmul(p, g.memory(V, g.type, g.keys), g.memory(Out, g.type, g.results));
  return g.plan({});
}

bool keeps_score_gradients(const AttentionCall& call) {
  return call.biased || call.deterministic;
}

// The probabilities p are computed again, from the scores and their kept log-sums.
std::optional<GraphPlan> attention_gradient_plan(const char* op, const AttentionCall& call) {
  AttentionGraph g(op, call);
  const Value q = g.memory(Q, g.type, g.queries);
  const Value keys_t = g.memory(K, g.type, transposed(g.keys));
  const Value values_t = g.memory(V, g.type, transposed(g.keys));
  const Value dout = g.memory(Dout, g.type, g.results);
  const Value scale = g.scalar(Scale);

  // delta = Σ dout·out of each query
  const Value product =
      g.pointwise(CUDNN_POINTWISE_MUL, dout, g.memory(Out, g.type, g.results), g.passing(kF32, g.results));
  const Value sum = g.reduce(CUDNN_REDUCE_TENSOR_ADD, product, g.each_query());
  const Value delta =
      g.pointwise(CUDNN_POINTWISE_MUL, sum, g.scalar(One), g.memory(Delta, kF32, g.one_a_query));

  // dv = pᵀ·dout
  const Value shifted = g.pointwise(CUDNN_POINTWISE_SUB, g.biased_scores(q, keys_t, scale),
                                    g.memory(LogSum, kF32, g.one_a_query), g.in_scores());
  const Value p = g.pointwise(CUDNN_POINTWISE_EXP, shifted, g.in_scores());
  g.matmul(g.transposed_scores(p), dout, g.memory(Dv, g.type, g.keys));

  // ds = p·(dout·vᵀ − delta), of which the sum over samples is dbias
  const Value dp = g.matmul(dout, values_t, g.in_scores());
  const Value centred = g.pointwise(CUDNN_POINTWISE_SUB, dp, delta, g.in_scores());
  const Value ds = g.pointwise(CUDNN_POINTWISE_MUL, centred, p, g.in_scores());
  if (call.biased) g.reduce(CUDNN_REDUCE_TENSOR_ADD, ds, g.memory(Dbias, g.type, g.dense(1, g.a.k_length)));

  // dk = scale·dsᵀ·q, dq = scale·ds·k
  const Value scaled = g.pointwise(CUDNN_POINTWISE_MUL, ds, scale, g.in_scores());
  g.matmul(g.transposed_scores(scaled), q, g.memory(Dk, g.type, g.keys));
  const Value keys = g.reshape(keys_t, g.passing(g.type, g.keys));
  const Value dq = g.memory(Dq, g.type, g.queries);
  if (keeps_score_gradients(call))
    g.matmul(scaled, keys, dq);
  else
    g.pointwise(CUDNN_POINTWISE_IDENTITY,
                g.matmul(scaled, keys, g.memory(DqSums, kF32, g.dense(g.a.batch, g.a.head_dim))), dq);
  return g.plan({.deterministic = call.deterministic});
}

}  // namespace cae::cuda
