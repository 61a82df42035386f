// Attention: the library's kernel where it has one (f16 and bf16 on most devices); else products over all
// heads at once around own softmax kernels, with the heads gathered before and scattered after.
#include "cuda/dispatch.h"
#include "cuda/library.h"
#include "cuda/softmax.h"
#include "ops/attention.h"
#include "ops/pointwise.h"

namespace cae::cuda {
namespace {

// Heads of [batch, length] rows of `row_size` elements, from or to dense [batch, heads, length, head_dim].
template <typename T>
struct MoveHeads {
  T* rows;
  T* dense;
  int64_t heads, length, head_dim, row_size;
  bool gather;
  template <int N>
  __device__ Nothing prepare(int64_t) const {
    return {};
  }
  // `row` counts the dense rows.
  template <int N>
  __device__ void row(int64_t row, int64_t column, Nothing, float (&)[1][N]) const {
    const int64_t head = quotient(row, length);
    const int64_t token = remainder_of(row, length);
    const int64_t b = quotient(head, heads);
    const int64_t h = remainder_of(head, heads);
    T* const apart = rows + (b * length + token) * row_size + h * head_dim + column;
    T* const together = dense + row * head_dim + column;
    if (gather)
      store<N>(together, load<N>(apart));
    else
      store<N>(apart, load<N>(together));
  }
};

template <typename T>
void move_heads(const char* op, T* rows, T* dense, const AttentionLayout& a, int64_t length, int64_t row_size,
                bool gather) {
  const MoveHeads<T> body{rows, dense, a.heads, length, a.head_dim, row_size, gather};
  const bool wide = moves_by<kWidth<T>>(a.head_dim, rows, dense) && row_size % kWidth<T> == 0;
  over_tiles<kWidth<T>>(op, a.batch * a.heads * length, a.head_dim, wide, body);
}

// Sizes of one call.
struct Extents {
  int64_t heads, q, k, scores;  // heads of all the batch; elements of dense q, of dense k or v, of the scores
  explicit Extents(const AttentionLayout& a)
      : heads(a.batch * a.heads),
        q(heads * a.q_length * a.head_dim),
        k(heads * a.k_length * a.head_dim),
        scores(heads * a.q_length * a.k_length) {}
  template <typename A>
  static Scores<A> rows_of(const A* scores, const TensorView& bias, const AttentionLayout& a) {
    return {scores, bias.data<const A>(), static_cast<A>(a.scale), a.batch, a.heads * a.q_length, a.k_length};
  }
};

template <typename T>
Matrix dense(const T* data, bool transposed = false) {
  return {data, DtypeOf<T>::value, transposed};
}

void forward(const char* op, const TensorView& q, const TensorView& k, const TensorView& v,
             const TensorView& bias, const AttentionLayout& a, const TensorView& out,
             const TensorView& log_sum) {
  const Extents n(a);
  dispatch_real(q.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    const Scratch queries(sizeof(T) * static_cast<size_t>(n.q));  // and then the result
    const Scratch keys(sizeof(T) * static_cast<size_t>(n.k));
    const Scratch values(sizeof(T) * static_cast<size_t>(n.k));
    const Scratch scores(sizeof(A) * static_cast<size_t>(n.scores));
    const Scratch p(sizeof(T) * static_cast<size_t>(n.scores));
    move_heads(op, q.data<T>(), queries.as<T>(), a, a.q_length, a.q_row, true);
    move_heads(op, k.data<T>() + a.k_offset, keys.as<T>(), a, a.k_length, a.kv_row, true);
    move_heads(op, v.data<T>() + a.v_offset, values.as<T>(), a, a.k_length, a.kv_row, true);
    gemm(op, {.m = a.q_length,
              .n = a.k_length,
              .k = a.head_dim,
              .a = dense(queries.as<T>()),
              .b = dense(keys.as<T>(), true),
              .c = scores.as<A>(),
              .c_dtype = DtypeOf<A>::value,
              .batch = n.heads});
    softmax(op, n.rows_of(scores.as<const A>(), bias, a), p.as<T>(), log_sum.data<A>());
    gemm(op, {.m = a.q_length,
              .n = a.head_dim,
              .k = a.k_length,
              .a = dense(p.as<T>()),
              .b = dense(values.as<T>()),
              .c = queries.as<T>(),
              .c_dtype = q.dtype,
              .batch = n.heads});
    move_heads(op, out.data<T>(), queries.as<T>(), a, a.q_length, a.heads * a.head_dim, false);
  });
}

void backward(const char* op, const TensorView& dout, const TensorView& q, const TensorView& k,
              const TensorView& v, const TensorView& bias, const AttentionLayout& a,
              const TensorView& log_sum, const TensorView& dq, const TensorView& dk, const TensorView& dv,
              const TensorView& dbias) {
  const Extents n(a);
  dispatch_real(q.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    constexpr Dtype wide = DtypeOf<A>::value;
    const Scratch queries(sizeof(T) * static_cast<size_t>(n.q));
    const Scratch keys(sizeof(T) * static_cast<size_t>(n.k));
    const Scratch values(sizeof(T) * static_cast<size_t>(n.k));
    const Scratch douts(sizeof(T) * static_cast<size_t>(n.q));
    const Scratch result(sizeof(T) * static_cast<size_t>(std::max(n.q, n.k)));
    const Scratch scores(sizeof(A) * static_cast<size_t>(n.scores));
    const Scratch dp(sizeof(A) * static_cast<size_t>(n.scores));
    const Scratch p(sizeof(T) * static_cast<size_t>(n.scores));
    const Scratch ds(sizeof(T) * static_cast<size_t>(n.scores));
    move_heads(op, q.data<T>(), queries.as<T>(), a, a.q_length, a.q_row, true);
    move_heads(op, k.data<T>() + a.k_offset, keys.as<T>(), a, a.k_length, a.kv_row, true);
    move_heads(op, v.data<T>() + a.v_offset, values.as<T>(), a, a.k_length, a.kv_row, true);
    move_heads(op, dout.data<T>(), douts.as<T>(), a, a.q_length, a.heads * a.head_dim, true);
    gemm(op, {.m = a.q_length,
              .n = a.k_length,
              .k = a.head_dim,
              .a = dense(queries.as<T>()),
              .b = dense(keys.as<T>(), true),
              .c = scores.as<A>(),
              .c_dtype = wide,
              .batch = n.heads});
    gemm(op, {.m = a.q_length,
              .n = a.k_length,
              .k = a.head_dim,
              .a = dense(douts.as<T>()),
              .b = dense(values.as<T>(), true),
              .c = dp.as<A>(),
              .c_dtype = wide,
              .batch = n.heads});
    softmax_backward(op, n.rows_of(scores.as<const A>(), bias, a), dp.as<const A>(), log_sum.data<const A>(),
                     p.as<T>(), ds.as<T>(), dbias.data<A>());
    gemm(op, {.m = a.k_length,
              .n = a.head_dim,
              .k = a.q_length,
              .a = dense(p.as<T>(), true),
              .b = dense(douts.as<T>()),
              .c = result.as<T>(),
              .c_dtype = q.dtype,
              .batch = n.heads});
    move_heads(op, dv.data<T>() + a.v_offset, result.as<T>(), a, a.k_length, a.kv_row, false);
    gemm(op, {.m = a.q_length,
              .n = a.head_dim,
              .k = a.k_length,
              .a = dense(ds.as<T>()),
              .b = dense(keys.as<T>()),
              .c = result.as<T>(),
              .c_dtype = q.dtype,
              .batch = n.heads});
    move_heads(op, dq.data<T>(), result.as<T>(), a, a.q_length, a.q_row, false);
    gemm(op, {.m = a.k_length,
              .n = a.head_dim,
              .k = a.q_length,
              .a = dense(ds.as<T>(), true),
              .b = dense(queries.as<T>()),
              .c = result.as<T>(),
              .c_dtype = q.dtype,
              .batch = n.heads});
    move_heads(op, dk.data<T>() + a.k_offset, result.as<T>(), a, a.k_length, a.kv_row, false);
  });
}

}  // namespace

void attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionLayout& a, const TensorView& out, const TensorView& log_sum) {
  if (out.numel() == 0 || fused_attention_forward(q, k, v, {}, a, out, log_sum)) return;
  forward("attention", q, k, v, {}, a, out, log_sum);
}

void biased_attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                              const TensorView& bias, const AttentionLayout& a, const TensorView& out,
                              const TensorView& log_sum) {
  if (out.numel() == 0 || fused_attention_forward(q, k, v, bias, a, out, log_sum)) return;
  forward("biased_attention", q, k, v, bias, a, out, log_sum);
}

void attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k, const TensorView& v,
                        const AttentionLayout& a, const TensorView& out, const TensorView& log_sum,
                        const TensorView& dq, const TensorView& dk, const TensorView& dv) {
  if (q.numel() == 0 || fused_attention_backward(dout, q, k, v, {}, a, out, log_sum, dq, dk, dv, {})) return;
  backward("attention_backward", dout, q, k, v, {}, a, log_sum, dq, dk, dv, {});
}

void biased_attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k,
                               const TensorView& v, const TensorView& bias, const AttentionLayout& a,
                               const TensorView& out, const TensorView& log_sum, const TensorView& dq,
                               const TensorView& dk, const TensorView& dv, const TensorView& dbias) {
  if (q.numel() == 0)
    fill_constant(dbias, 0);
  else if (!fused_attention_backward(dout, q, k, v, bias, a, out, log_sum, dq, dk, dv, dbias))
    backward("biased_attention_backward", dout, q, k, v, bias, a, log_sum, dq, dk, dv, dbias);
}

}  // namespace cae::cuda
