// Products through cuBLASLt. It counts columns first: a row-major c = a·b is its column-major cᵀ = bᵀ·aᵀ, so
// our b is its A, our a its B, and nothing is copied. How a product of given extents and dtypes is computed
// is chosen once, by timing the best few candidates (CAE_CUDA_TUNE=0, or where the same bits are wanted in
// every run: the library's first).
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/cublaslt.h"
#include "cuda/driver.h"
#include "cuda/library.h"
#include "cuda/numerics.h"
#include "ops/pointwise.h"

namespace cae::cuda {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what NVIDIA recommends for Hopper
constexpr int kCandidates = 6;
constexpr double kWorthTiming = 1e8;  // operations below which any candidate will do

enum class Epilogue { None, Bias, Sums };

struct Plan {
  bool possible = false;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
};

// All that a plan depends on.
struct Key {
  int device;
  int64_t m, n, k, batch;
  Dtype in, out, vector;  // vector: of the bias
  bool a_transposed, b_transposed, accumulate, tf32;
  Epilogue epilogue;
  unsigned alignment;
  auto operator<=>(const Key&) const = default;
};

cudaDataType_t type_of(Dtype dtype, const char* op) {
  switch (dtype) {
    case Dtype::F32:
      return CUDA_R_32F;
    case Dtype::BF16:
      return CUDA_R_16BF;
    case Dtype::F16:
      return CUDA_R_16F;
    case Dtype::F64:
      return CUDA_R_64F;
    default:
      fail(op, "computes in f32, bf16, f16 or f64, not in ", dtype_name(dtype), "; cast first");
  }
}

// The bytes, at most 16, that an address is a multiple of.
unsigned alignment_of(std::initializer_list<const void*> addresses) {
  uintptr_t bits = 16;
  for (const void* address : addresses) bits |= reinterpret_cast<uintptr_t>(address);
  return static_cast<unsigned>(bits & (~bits + 1));
}

cublasLtMatrixLayout_t layout(Dtype dtype, int64_t rows, int64_t columns, int64_t batch, const char* op) {
  const CublasLt& lt = cublaslt();
  cublasLtMatrixLayout_t made = nullptr;
  check_cublaslt(lt.cublasLtMatrixLayoutCreate(&made, type_of(dtype, op), static_cast<uint64_t>(rows),
                                               static_cast<uint64_t>(columns), rows),
                 op);
  if (batch > 1) {
    const auto count = static_cast<int32_t>(batch);
    const int64_t stride = rows * columns;
    check_cublaslt(
        lt.cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        op);
    check_cublaslt(lt.cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                       &stride, sizeof stride),
                   op);
  }
  return made;
}

template <typename T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t name, const T& value,
         const char* op) {
  check_cublaslt(cublaslt().cublasLtMatmulDescSetAttribute(operation, name, &value, sizeof value), op);
}

cublasStatus_t run(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Product& p, const void* c,
                   void* d, void* workspace, size_t workspace_bytes) {
  const double one = 1;
  const double zero = 0;
  const float one_f = 1;
  const float zero_f = 0;
  const bool wide = p.c_dtype == Dtype::F64;
  const void* alpha = wide ? static_cast<const void*>(&one) : &one_f;
  const void* beta =
      wide ? static_cast<const void*>(p.accumulate ? &one : &zero) : (p.accumulate ? &one_f : &zero_f);
  return cublaslt().cublasLtMatmul(cublaslt_handle(), plan.operation, alpha, p.b.data, plan.a, p.a.data,
                                   plan.b, beta, c, plan.c, d, plan.c, &algorithm, workspace, workspace_bytes,
                                   stream_of_device());
}

// The quickest of the candidates; each runs a few times into memory of its own.
size_t quickest(const Plan& plan, const Product& p,
                const std::vector<cublasLtMatmulHeuristicResult_t>& candidates, const char* op) {
  constexpr int kRuns = 3;
  const Scratch trial(static_cast<size_t>(p.batch * p.m * p.n) * dtype_size(p.c_dtype));
  const Scratch workspace(kWorkspace);
  cudaEvent_t start = nullptr;
  cudaEvent_t end = nullptr;
  check_cuda(cudaEventCreate(&start), op);
  check_cuda(cudaEventCreate(&end), op);
  size_t best = 0;
  float best_time = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const auto once = [&] {
      return run(plan, candidates[i].algo, p, trial.as<void>(), trial.as<void>(), workspace.as<void>(),
                 kWorkspace);
    };
    if (once() != CUBLAS_STATUS_SUCCESS) continue;
    check_cuda(cudaEventRecord(start, stream_of_device()), op);
    for (int repeat = 0; repeat < kRuns; ++repeat) check_cublaslt(once(), op);
    check_cuda(cudaEventRecord(end, stream_of_device()), op);
    count_wait();
    check_cuda(cudaEventSynchronize(end), op);
    float time = 0;
    check_cuda(cudaEventElapsedTime(&time, start, end), op);
    if (best_time == 0 || time < best_time) {
      best = i;
      best_time = time;
    }
  }
  cudaEventDestroy(start);
  cudaEventDestroy(end);
  return best;
}

bool tuning() {
  static const bool on = [] {
    const char* text = std::getenv("CAE_CUDA_TUNE");
    return text == nullptr || std::strcmp(text, "0") != 0;
  }();
  return on;
}

void discard(const Plan& plan) {
  const CublasLt& lt = cublaslt();
  lt.cublasLtMatrixLayoutDestroy(plan.a);
  lt.cublasLtMatrixLayoutDestroy(plan.b);
  lt.cublasLtMatrixLayoutDestroy(plan.c);
  lt.cublasLtMatmulDescDestroy(plan.operation);
}

// `vector`: an address for the bias or the sums, for the candidates that are timed.
Plan make_plan(const char* op, const Key& key, const Product& p, void* vector) {
  const CublasLt& lt = cublaslt();
  Plan plan;
  const bool wide = key.out == Dtype::F64;
  const cublasComputeType_t compute = wide                               ? CUBLAS_COMPUTE_64F
                                      : key.tf32 && key.in == Dtype::F32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                         : CUBLAS_COMPUTE_32F;
  check_cublaslt(lt.cublasLtMatmulDescCreate(&plan.operation, compute, wide ? CUDA_R_64F : CUDA_R_32F), op);
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, key.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, op);
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, key.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, op);
  if (key.epilogue != Epilogue::None) {
    set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
        key.epilogue == Epilogue::Bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADB, op);
    set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(key.vector, op), op);
    set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector, op);
  }
  plan.a = key.b_transposed ? layout(key.in, key.k, key.n, key.batch, op)
                            : layout(key.in, key.n, key.k, key.batch, op);
  plan.b = key.a_transposed ? layout(key.in, key.m, key.k, key.batch, op)
                            : layout(key.in, key.k, key.m, key.batch, op);
  plan.c = layout(key.out, key.n, key.m, key.batch, op);

  cublasLtMatmulPreference_t preference = nullptr;
  check_cublaslt(lt.cublasLtMatmulPreferenceCreate(&preference), op);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
    check_cublaslt(lt.cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof value), op);
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignment);
  std::vector<cublasLtMatmulHeuristicResult_t> candidates(kCandidates);
  int found = 0;
  const cublasStatus_t status =
      lt.cublasLtMatmulAlgoGetHeuristic(cublaslt_handle(), plan.operation, plan.a, plan.b, plan.c, plan.c,
                                        preference, kCandidates, candidates.data(), &found);
  lt.cublasLtMatmulPreferenceDestroy(preference);
  candidates.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<size_t>(found) : 0);
  std::erase_if(candidates, [](const auto& candidate) { return candidate.state != CUBLAS_STATUS_SUCCESS; });
  if (candidates.empty()) {
    discard(plan);
    return {};
  }
  const double operations = 2.0 * static_cast<double>(key.m) * static_cast<double>(key.n) *
                            static_cast<double>(key.k) * static_cast<double>(key.batch);
  const bool timed = tuning() && !numerics.deterministic && !is_recording() && candidates.size() > 1 &&
                     operations >= kWorthTiming;
  const auto& chosen = candidates[timed ? quickest(plan, p, candidates, op) : 0];
  plan.algorithm = chosen.algo;
  // What was timed had all of the workspace, and may use as much as it asked for.
  plan.workspace = chosen.workspaceSize;
  plan.possible = true;
  return plan;
}

// The result of a product over no elements: the bias in each row, or zeros.
void fill_rows(const char* op, const Product& p) {
  if (p.accumulate) return;
  const TensorView c{p.c, {p.batch * p.m, p.n}, p.c_dtype};
  fill_constant(c, 0);
  const Dtype full = p.c_dtype == Dtype::F64 ? Dtype::F64 : Dtype::F32;
  if (p.bias != nullptr) add_bias(op, c, {const_cast<void*>(p.bias), {p.n}, full}, false);
}

// Runs the product, or answers false where the library does not do it with this epilogue.
bool multiply(const char* op, const Product& p, Epilogue epilogue, void* vector, Dtype vector_dtype) {
  static std::map<Key, Plan> plans;
  const Key key{.device = selected_device(),
                .m = p.m,
                .n = p.n,
                .k = p.k,
                .batch = p.batch,
                .in = p.a.dtype,
                .out = p.c_dtype,
                .vector = vector_dtype,
                .a_transposed = p.a.transposed,
                .b_transposed = p.b.transposed,
                .accumulate = p.accumulate,
                .tf32 = numerics.tf32,
                .epilogue = epilogue,
                .alignment = alignment_of({p.a.data, p.b.data, p.c})};
  auto known = plans.find(key);
  if (known == plans.end()) known = plans.emplace(key, make_plan(op, key, p, vector)).first;
  const Plan& plan = known->second;
  if (!plan.possible) return false;
  if (epilogue != Epilogue::None) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector, op);
  const Scratch workspace(plan.workspace);
  const cublasStatus_t status = run(plan, plan.algorithm, p, p.c, p.c, workspace.as<void>(), plan.workspace);
  check(status == CUBLAS_STATUS_SUCCESS, op, "cuBLASLt: ", cublaslt().cublasLtGetStatusName(status), " for [",
        p.m, ",", p.k, "]·[", p.k, ",", p.n, "] in ", dtype_name(p.a.dtype));
  return true;
}

}  // namespace

void gemm(const char* op, const Product& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0) return;
  if (p.k == 0) return fill_rows(op, p);
  check(p.a.dtype == p.b.dtype, op, "a product of ", dtype_name(p.a.dtype), " and ", dtype_name(p.b.dtype));
  const Dtype full = p.a.dtype == Dtype::F64 ? Dtype::F64 : Dtype::F32;
  void* const bias = const_cast<void*>(p.bias);
  if (bias != nullptr && multiply(op, p, Epilogue::Bias, bias, full)) return;
  // Where the library wants the bias in c's dtype, it gets a copy.
  if (bias != nullptr && p.c_dtype != full) {
    const Scratch low(static_cast<size_t>(p.n) * dtype_size(p.c_dtype));
    cast_forward({bias, {p.n}, full}, {low.as<void>(), {p.n}, p.c_dtype});
    if (multiply(op, p, Epilogue::Bias, low.as<void>(), p.c_dtype)) return;
  }
  check(multiply(op, p, Epilogue::None, nullptr, full), op, "cuBLASLt has nothing for [", p.m, ",", p.k,
        "]·[", p.k, ",", p.n, "] in ", dtype_name(p.a.dtype));
  if (bias != nullptr) add_bias(op, {p.c, {p.batch * p.m, p.n}, p.c_dtype}, {bias, {p.n}, full}, false);
}

bool gemm_with_sums(const char* op, const Product& p, void* sums) {
  if (p.m == 0 || p.n == 0 || p.k == 0) return false;
  return multiply(op, p, Epilogue::Sums, sums, p.c_dtype);
}

}  // namespace cae::cuda
