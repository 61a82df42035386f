// Convolutions through cuDNN, NHWC. The algorithm for each geometry is the one its heuristics like best,
// chosen once.
#include <array>
#include <map>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/cudnn_library.h"
#include "cuda/driver.h"
#include "cuda/library.h"
#include "cuda/numerics.h"

namespace cae::cuda {
namespace {

constexpr int kCandidates = 8;
constexpr size_t kWorkspace = size_t{1} << 30;  // no algorithm may want more

struct Plan {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t weight = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  int algorithm = 0;
  size_t workspace = 0;
};

cudnnDataType_t type_of(Dtype dtype, const char* op) {
  switch (dtype) {
    case Dtype::F32:
      return CUDNN_DATA_FLOAT;
    case Dtype::BF16:
      return CUDNN_DATA_BFLOAT16;
    case Dtype::F16:
      return CUDNN_DATA_HALF;
    case Dtype::F64:
      return CUDNN_DATA_DOUBLE;
    default:
      fail(op, "computes in f32, bf16, f16 or f64, not in ", dtype_name(dtype), "; cast first");
  }
}

// The first candidate that is possible within the workspace. Reductions whose order changes from run to run
// are left out: a resumed run must equal an uninterrupted one.
template <typename Candidate>
void choose(const char* op, const std::array<Candidate, kCandidates>& candidates, int found, bool exact,
            Plan& plan) {
  for (int i = 0; i < found; ++i) {
    const Candidate& c = candidates[static_cast<size_t>(i)];
    if (c.status != CUDNN_STATUS_SUCCESS || c.memory > kWorkspace || c.determinism != CUDNN_DETERMINISTIC)
      continue;
    plan.algorithm = static_cast<int>(c.algo);
    plan.workspace = c.memory;
    if (!exact) check_cudnn(cudnn().cudnnSetConvolutionMathType(plan.convolution, c.mathType), op);
    return;
  }
  fail(op, "cuDNN has no deterministic algorithm for this convolution");
}

Plan make_plan(const char* op, const Convolution& g) {
  const Cudnn& dnn = cudnn();
  const cudnnDataType_t type = type_of(g.dtype, op);
  Plan plan;
  const auto nhwc = [&](cudnnTensorDescriptor_t& descriptor, const Shape& s) {
    check_cudnn(dnn.cudnnCreateTensorDescriptor(&descriptor), op);
    check_cudnn(dnn.cudnnSetTensor4dDescriptor(descriptor, CUDNN_TENSOR_NHWC, type, static_cast<int>(s[0]),
                                               static_cast<int>(s[3]), static_cast<int>(s[1]),
                                               static_cast<int>(s[2])),
                op);
  };
  nhwc(plan.x, g.x);
  nhwc(plan.y, g.y);
  check_cudnn(dnn.cudnnCreateFilterDescriptor(&plan.weight), op);
  check_cudnn(dnn.cudnnSetFilter4dDescriptor(plan.weight, type, CUDNN_TENSOR_NHWC, static_cast<int>(g.y[3]),
                                             static_cast<int>(g.x[3]), static_cast<int>(g.kernel),
                                             static_cast<int>(g.kernel)),
              op);
  check_cudnn(dnn.cudnnCreateConvolutionDescriptor(&plan.convolution), op);
  const int padding = static_cast<int>(g.padding);
  const int stride = static_cast<int>(g.stride);
  check_cudnn(dnn.cudnnSetConvolution2dDescriptor(
                  plan.convolution, padding, padding, stride, stride, 1, 1, CUDNN_CROSS_CORRELATION,
                  g.dtype == Dtype::F64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT),
              op);
  // FMA keeps f32 in f32: the default would round its inputs to TF32.
  const bool exact = g.dtype == Dtype::F32 && !numerics.tf32;
  check_cudnn(dnn.cudnnSetConvolutionMathType(
                  plan.convolution, exact                                            ? CUDNN_FMA_MATH
                                    : g.dtype == Dtype::F64 || g.dtype == Dtype::F32 ? CUDNN_DEFAULT_MATH
                                                                                     : CUDNN_TENSOR_OP_MATH),
              op);
  int found = 0;
  if (g.pass == Convolution::Forward) {
    std::array<cudnnConvolutionFwdAlgoPerf_t, kCandidates> candidates{};
    check_cudnn(
        dnn.cudnnGetConvolutionForwardAlgorithm_v7(cudnn_handle(), plan.x, plan.weight, plan.convolution,
                                                   plan.y, kCandidates, &found, candidates.data()),
        op);
    choose(op, candidates, found, exact, plan);
  } else if (g.pass == Convolution::Input) {
    std::array<cudnnConvolutionBwdDataAlgoPerf_t, kCandidates> candidates{};
    check_cudnn(
        dnn.cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn_handle(), plan.weight, plan.y, plan.convolution,
                                                        plan.x, kCandidates, &found, candidates.data()),
        op);
    choose(op, candidates, found, exact, plan);
  } else {
    std::array<cudnnConvolutionBwdFilterAlgoPerf_t, kCandidates> candidates{};
    check_cudnn(dnn.cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn_handle(), plan.x, plan.y,
                                                                  plan.convolution, plan.weight, kCandidates,
                                                                  &found, candidates.data()),
                op);
    choose(op, candidates, found, exact, plan);
  }
  return plan;
}

const Plan& plan_for(const char* op, const Convolution& g) {
  using Key = std::tuple<int, Convolution::Pass, std::vector<int64_t>, Dtype, bool>;
  static std::map<Key, Plan> plans;
  std::vector<int64_t> extents{g.kernel, g.stride, g.padding};
  for (const Shape* shape : {&g.x, &g.y})
    extents.insert(extents.end(), shape->extents().begin(), shape->extents().end());
  const Key key{selected_device(), g.pass, extents, g.dtype, numerics.tf32};
  auto known = plans.find(key);
  if (known == plans.end()) known = plans.emplace(key, make_plan(op, g)).first;
  return known->second;
}

}  // namespace

void convolve(const char* op, const Convolution& g, void* x, void* weight, void* y) {
  const Cudnn& dnn = cudnn();
  const Plan& plan = plan_for(op, g);
  const Scratch room(plan.workspace);
  void* const workspace = room.as<void>();
  const double one = 1;
  const double zero = 0;
  const float one_f = 1;
  const float zero_f = 0;
  const bool wide = g.dtype == Dtype::F64;
  const void* alpha = wide ? static_cast<const void*>(&one) : &one_f;
  const void* beta = wide ? static_cast<const void*>(&zero) : &zero_f;
  if (g.pass == Convolution::Forward)
    check_cudnn(
        dnn.cudnnConvolutionForward(cudnn_handle(), alpha, plan.x, x, plan.weight, weight, plan.convolution,
                                    static_cast<cudnnConvolutionFwdAlgo_t>(plan.algorithm), workspace,
                                    plan.workspace, beta, plan.y, y),
        op);
  else if (g.pass == Convolution::Input)
    check_cudnn(dnn.cudnnConvolutionBackwardData(cudnn_handle(), alpha, plan.weight, weight, plan.y, y,
                                                 plan.convolution,
                                                 static_cast<cudnnConvolutionBwdDataAlgo_t>(plan.algorithm),
                                                 workspace, plan.workspace, beta, plan.x, x),
                op);
  else
    check_cudnn(
        dnn.cudnnConvolutionBackwardFilter(cudnn_handle(), alpha, plan.x, x, plan.y, y, plan.convolution,
                                           static_cast<cudnnConvolutionBwdFilterAlgo_t>(plan.algorithm),
                                           workspace, plan.workspace, beta, plan.weight, weight),
        op);
}

}  // namespace cae::cuda
