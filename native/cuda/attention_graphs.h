#pragma once

#include <optional>

#include "cuda/graph_builder.h"
#include "ops/attention.h"

// Attention and its gradients as graphs of elementary operations, of the forms in which cuDNN knows one
// kernel for the whole of each. (The library has attention as a single operation, too, but neither with a
// bias nor, below compute capability 10, its gradients.)
namespace cae::cuda {

// Numbers of the tensors: as in ops/attention.h; One is 1, Delta and DqSums are room in f32 for a number each
// query and as many as q has.
namespace attention_tensor {
enum Id : int64_t { Q = 1, K, V, Bias, Out, LogSum, Scale, One, Dout, Delta, DqSums, Dq, Dk, Dv, Dbias };
}

// All that a plan depends on.
struct AttentionCall {
  Dtype dtype;  // f16 or bf16; log-sums and biases are f32, but Dbias is of this, too
  AttentionLayout layout;
  bool biased = false;
  bool deterministic = false;
};

std::optional<GraphPlan> attention_plan(const char* op, const AttentionCall& call);
// Whether the gradients' plan keeps the scores' gradients in memory, not sums of q's: it has no DqSums then.
// It takes more memory and always sums in the same order; only so does it give the bias's gradient.
bool keeps_score_gradients(const AttentionCall& call);
std::optional<GraphPlan> attention_gradient_plan(const char* op, const AttentionCall& call);

}  // namespace cae::cuda
