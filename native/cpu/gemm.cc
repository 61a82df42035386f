#include "cpu/gemm.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "cpu/onednn.h"
#include "cpu/panel_gemm.h"
#include "cpu/vector_math.h"
#include "cpu/widened.h"

namespace cae::cpu {
namespace {

using Key = std::tuple<int64_t, int64_t, int64_t, Dtype, bool, bool, Dtype, bool, bool>;

struct Plan {
  dnnl::matmul primitive;
  dnnl::memory a, b, c, bias;
};

Plan make_plan(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, Dtype c_dtype, bool bias,
               bool accumulate) {
  using dnnl::memory;
  const auto layout = [](bool transposed) {
    return transposed ? memory::format_tag::ba : memory::format_tag::ab;
  };
  const memory::desc a_desc({m, k}, onednn_type(a.dtype), layout(a.transposed));
  const memory::desc b_desc({k, n}, onednn_type(b.dtype), layout(b.transposed));
  const memory::desc c_desc({m, n}, onednn_type(c_dtype), memory::format_tag::ab);
  const memory::desc bias_desc({1, n}, memory::data_type::f32, memory::format_tag::ab);
  dnnl::primitive_attr attributes;
  if (accumulate) {
    dnnl::post_ops add;
    add.append_sum(1.f);
    attributes.set_post_ops(add);
  }
  const auto description = bias ? dnnl::matmul::desc(a_desc, b_desc, bias_desc, c_desc)
                                : dnnl::matmul::desc(a_desc, b_desc, c_desc);
  const dnnl::matmul::primitive_desc primitive(description, attributes, onednn_engine());
  const auto empty = [](const memory::desc& d) { return memory(d, onednn_engine(), nullptr); };
  return {dnnl::matmul(primitive), empty(a_desc), empty(b_desc), empty(c_desc), empty(bias_desc)};
}

void onednn_gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype,
                 const void* bias, bool accumulate) {
  static thread_local std::map<Key, Plan> plans;
  const Key key{m, n, k, a.dtype, a.transposed, b.transposed, c_dtype, bias != nullptr, accumulate};
  auto found = plans.find(key);
  if (found == plans.end())
    found = plans.emplace(key, make_plan(m, n, k, a, b, c_dtype, bias != nullptr, accumulate)).first;
  Plan& plan = found->second;
  plan.a.set_data_handle(const_cast<void*>(a.data));
  plan.b.set_data_handle(const_cast<void*>(b.data));
  plan.c.set_data_handle(c);
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, plan.a}, {DNNL_ARG_WEIGHTS, plan.b}, {DNNL_ARG_DST, plan.c}};
  if (bias != nullptr) {
    plan.bias.set_data_handle(const_cast<void*>(bias));
    arguments.emplace(DNNL_ARG_BIAS, plan.bias);
  }
  plan.primitive.execute(onednn_stream(), arguments);
  onednn_stream().wait();
}

void double_gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, double* c, const double* bias,
                 bool accumulate) {
  if (bias != nullptr)
    for (int64_t i = 0; i < m; ++i) std::copy_n(bias, n, c + i * n);
  blas_gemm(a.transposed, b.transposed, m, n, k, 1.0, static_cast<const double*>(a.data),
            a.transposed ? m : k, static_cast<const double*>(b.data), b.transposed ? k : n,
            bias != nullptr || accumulate ? 1.0 : 0.0, c, n);
}

// By way of f32, where oneDNN has no bf16; a few rows at a time where they lie one after the other.
void widened_gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype,
                  const void* bias, bool accumulate) {
  constexpr int64_t kRows = 512;
  static thread_local AlignedRoom<float> a_room, b_room, c_room;
  check(c_dtype == Dtype::F32 || !accumulate, "gemm", "sums are added in f32 alone");
  const auto wide = [](const void* numbers, int64_t count, Dtype dtype, AlignedRoom<float>& room) {
    return dtype == Dtype::F32 ? static_cast<const float*>(numbers)
                               : widened(static_cast<const BF16*>(numbers), count, room);
  };
  const Matrix right{wide(b.data, k * n, b.dtype, b_room), Dtype::F32, b.transposed};
  const int64_t at_once = a.transposed ? m : std::min(m, kRows);
  for (int64_t row = 0; row < m; row += at_once) {
    const int64_t rows = std::min(at_once, m - row);
    const auto* from = static_cast<const char*>(a.data) + static_cast<size_t>(row * k) * dtype_size(a.dtype);
    const Matrix left{wide(from, rows * k, a.dtype, a_room), Dtype::F32, a.transposed};
    const bool rounds = c_dtype == Dtype::BF16;
    float* sums = rounds ? c_room.of(rows * n) : static_cast<float*>(c) + row * n;
    gemm(rows, n, k, left, right, sums, Dtype::F32, bias, accumulate);
    if (rounds) round_into(sums, rows * n, static_cast<BF16*>(c) + row * n);
  }
}

// The result of a product over no elements: the bias in each row, or zeros.
void fill_rows(int64_t m, int64_t n, void* c, Dtype c_dtype, const void* bias) {
  dispatch_float(c_dtype, "gemm", [&]<typename T>(T) {
    const auto* shift = static_cast<const Acc<T>*>(bias);
    T* to = static_cast<T*>(c);
    for (int64_t i = 0; i < m * n; ++i) to[i] = store<T>(shift == nullptr ? Acc<T>(0) : shift[i % n]);
  });
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype, const void* bias,
          bool accumulate) {
  check(bias == nullptr || !accumulate, "gemm", "sums start from a bias or go on in c, not both");
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!accumulate) fill_rows(m, n, c, c_dtype, bias);
    return;
  }
  if (panel_gemm_applies(m, n, k, a, b, c_dtype, accumulate))
    panel_gemm(m, n, k, a, b, c, c_dtype, static_cast<const float*>(bias), accumulate);
  else if (a.dtype == Dtype::F64)
    double_gemm(m, n, k, a, b, static_cast<double*>(c), static_cast<const double*>(bias), accumulate);
  else if (a.dtype == Dtype::F32 && c_dtype == Dtype::F32 && bias == nullptr)
    // oneDNN 2.6 copies b in strides for its matmul, which thrashes the cache where a row of b is a multiple
    // of 4 KiB (792x768x3072: 148 GFLOP/s against sgemm's 347); without a bias to add, sgemm is never slower.
    blas_gemm(a.transposed, b.transposed, m, n, k, 1.f, static_cast<const float*>(a.data),
              a.transposed ? m : k, static_cast<const float*>(b.data), b.transposed ? k : n,
              accumulate ? 1.f : 0.f, static_cast<float*>(c), n);
  else if ((a.dtype == Dtype::BF16 || b.dtype == Dtype::BF16) && !onednn_has_halves())
    widened_gemm(m, n, k, a, b, c, c_dtype, bias, accumulate);
  else
    onednn_gemm(m, n, k, a, b, c, c_dtype, bias, accumulate);
}

void blas_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
               const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  const auto status =
      dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  check(status == dnnl_success, "gemm", "oneDNN's sgemm failed with status ", static_cast<int>(status));
}

void blas_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double* a, int64_t lda,
               const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i) {
    double* row = c + i * ldc;
    for (int64_t j = 0; j < n; ++j) row[j] = beta == 0 ? 0 : beta * row[j];
    for (int64_t p = 0; p < k; ++p) {
      const double x = alpha * (ta ? a[p * lda + i] : a[i * lda + p]);
      for (int64_t j = 0; j < n; ++j) row[j] += x * (tb ? b[j * ldb + p] : b[p * ldb + j]);
    }
  }
}

}  // namespace cae::cpu
