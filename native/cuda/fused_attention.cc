// Attention in one kernel of cuDNN's, forward and backward: f16 and bf16, heads of a multiple of 8 numbers up
// to 128, compute capability 8.0 and up. Heads are read where they lie in a fused projection.
#include <map>
#include <optional>
#include <tuple>

#include "cuda/attention_graphs.h"
#include "cuda/context.h"
#include "cuda/driver.h"
#include "cuda/library.h"
#include "cuda/numerics.h"
#include "ops/pointwise.h"

namespace cae::cuda {
namespace {

constexpr size_t kSince = 90600;  // before, sums in memory had to be cleared by the caller

bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

// Whether the library may be asked at all.
bool suits(Dtype dtype, const AttentionLayout& a) {
  return (dtype == Dtype::BF16 || dtype == Dtype::F16) && a.head_dim % 8 == 0 && a.head_dim <= 128 &&
         a.q_row % 8 == 0 && a.kv_row % 8 == 0 && capability_of_device() >= 80 && cudnn().version >= kSince;
}

using Planner = std::optional<GraphPlan> (*)(const char* op, const AttentionCall& call);

// The plan for a call, made once. Nothing where the library has none.
const std::optional<GraphPlan>& plan_for(const char* op, Planner make, const AttentionCall& call) {
  using Key = std::tuple<int, Planner, Dtype, bool, bool, std::array<int64_t, 7>>;
  // Never destroyed: at the process's end the driver may be gone.
  static auto& plans = *new std::map<Key, std::optional<GraphPlan>>;
  const AttentionLayout& a = call.layout;
  const Key key{
      selected_device(),  make,
      call.dtype,         call.biased,
      call.deterministic, {a.batch, a.heads, a.head_dim, a.q_length, a.k_length, a.q_row, a.kv_row}};
  auto known = plans.find(key);
  if (known == plans.end()) known = plans.emplace(key, make(op, call)).first;
  return known->second;
}

// A part of a fused projection.
void* at(const TensorView& tensor, int64_t offset) {
  return static_cast<char*>(tensor.pointer) + static_cast<size_t>(offset) * dtype_size(tensor.dtype);
}

using namespace attention_tensor;

}  // namespace

bool fused_attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                             const TensorView& bias, const AttentionLayout& a, const TensorView& out,
                             const TensorView& log_sum) {
  constexpr auto op = "attention";
  void* const keys = at(k, a.k_offset);
  void* const values = at(v, a.v_offset);
  if (!suits(q.dtype, a) || !aligned({q.pointer, keys, values, out.pointer, bias.pointer})) return false;
  const AttentionCall call{
      .dtype = q.dtype, .layout = a, .biased = static_cast<bool>(bias), .deterministic = false};
  const std::optional<GraphPlan>& plan = plan_for(op, &attention_plan, call);
  if (!plan) return false;
  auto scale = static_cast<float>(a.scale);
  std::vector<std::pair<int64_t, void*>> places{
      {Q, q.pointer}, {K, keys}, {V, values}, {Out, out.pointer}, {LogSum, log_sum.pointer}, {Scale, &scale}};
  if (bias) places.emplace_back(Bias, bias.pointer);
  plan->run(op, places);
  return true;
}

bool fused_attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& bias, const AttentionLayout& a,
                              const TensorView& out, const TensorView& log_sum, const TensorView& dq,
                              const TensorView& dk, const TensorView& dv, const TensorView& dbias) {
  constexpr auto op = "attention_backward";
  void* const keys = at(k, a.k_offset);
  void* const values = at(v, a.v_offset);
  void* const dkeys = at(dk, a.k_offset);
  void* const dvalues = at(dv, a.v_offset);
  if (!suits(q.dtype, a) || !aligned({q.pointer, keys, values, out.pointer, dout.pointer, dq.pointer, dkeys,
                                      dvalues, bias.pointer}))
    return false;
  const AttentionCall call{.dtype = q.dtype,
                           .layout = a,
                           .biased = static_cast<bool>(bias),
                           .deterministic = numerics.deterministic};
  const std::optional<GraphPlan>& plan = plan_for(op, &attention_gradient_plan, call);
  if (!plan) return false;
  auto scale = static_cast<float>(a.scale);
  float one = 1;
  const size_t queries = static_cast<size_t>(a.batch * a.heads * a.q_length) * sizeof(float);
  const bool sums = !keeps_score_gradients(call);
  const Scratch delta(queries);
  const Scratch dq_sums(sums ? queries * static_cast<size_t>(a.head_dim) : 0);
  // In q's dtype, as the library gives it.
  const size_t dbias_count = bias ? static_cast<size_t>(dbias.numel()) : 0;
  const Scratch rounded(dbias_count * dtype_size(q.dtype));
  std::vector<std::pair<int64_t, void*>> places{{Q, q.pointer},       {K, keys},
                                                {V, values},          {Out, out.pointer},
                                                {Dout, dout.pointer}, {LogSum, log_sum.pointer},
                                                {Scale, &scale},      {One, &one},
                                                {Dq, dq.pointer},     {Dk, dkeys},
                                                {Dv, dvalues},        {Delta, delta.as<void>()}};
  if (sums) places.emplace_back(DqSums, dq_sums.as<void>());
  if (bias) {
    places.emplace_back(Bias, bias.pointer);
    places.emplace_back(Dbias, rounded.as<void>());
  }
  plan->run(op, places);
  if (bias) cast_forward({rounded.as<void>(), dbias.shape, q.dtype}, dbias);
  return true;
}

}  // namespace cae::cuda
