// Attention: the library's kernel where it has one (f16 and bf16 on most devices); else products over all
// heads at once around own softmax kernels, with the heads gathered before and scattered after.
#include "cuda/dispatch.h"
#include "cuda/library.h"
#include "cuda/tile.h"
#include "ops/attention.h"

namespace cae::cuda {
namespace {

constexpr int kThreads = 128;  // of a block that has one row of scores

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

// p = softmax(scale·scores) by rows, and each row's log-sum-exp.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    softmax_kernel(int64_t columns, Acc<T> scale, const Acc<T>* scores, T* p, Acc<T>* log_sum) {
  using A = Acc<T>;
  const A* in = scores + blockIdx.x * columns;
  A top = static_cast<A>(-INFINITY);
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) top = Max{}(top, scale * in[c]);
  top = over_block<Max>(top);
  A sum = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) sum += fast_exp(scale * in[c] - top);
  sum = over_block<Sum>(sum);
  const A inverse = A(1) / sum;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads)
    p[blockIdx.x * columns + c] = T(fast_exp(scale * in[c] - top) * inverse);
  if (threadIdx.x == 0) log_sum[blockIdx.x] = top + std::log(sum);
}

// p again from the kept log-sums, and ds = p·(dp − Σ p·dp)·scale.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    softmax_backward_kernel(int64_t columns, Acc<T> scale, const Acc<T>* scores, const Acc<T>* dp,
                            const Acc<T>* log_sum, T* p, T* ds) {
  using A = Acc<T>;
  const int64_t start = blockIdx.x * columns;
  const A log_total = log_sum[blockIdx.x];
  A dot = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads)
    dot += fast_exp(scale * scores[start + c] - log_total) * dp[start + c];
  dot = over_block<Sum>(dot);
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    const A probability = fast_exp(scale * scores[start + c] - log_total);
    const A slope = probability * (dp[start + c] - dot) * scale;
    p[start + c] = T(probability);
    ds[start + c] = T(slope);
  }
}

// Sizes of one call.
struct Extents {
  int64_t heads, q, k, scores;  // heads of all the batch; elements of dense q, of dense k or v, of the scores
  explicit Extents(const AttentionLayout& a)
      : heads(a.batch * a.heads),
        q(heads * a.q_length * a.head_dim),
        k(heads * a.k_length * a.head_dim),
        scores(heads * a.q_length * a.k_length) {}
};

template <typename T>
Matrix dense(const T* data, bool transposed = false) {
  return {data, DtypeOf<T>::value, transposed};
}

}  // namespace

void attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionLayout& a, const TensorView& out, const TensorView& log_sum) {
  constexpr auto op = "attention";
  if (out.numel() == 0) return;
  if (fused_attention_forward(q, k, v, a, out, log_sum)) return;
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
    launch(op, &softmax_kernel<T>, dim3(static_cast<unsigned>(n.heads * a.q_length)), dim3(kThreads), 0,
           a.k_length, static_cast<A>(a.scale), scores.as<const A>(), p.as<T>(), log_sum.data<A>());
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

void attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k, const TensorView& v,
                        const AttentionLayout& a, const TensorView& out, const TensorView& log_sum,
                        const TensorView& dq, const TensorView& dk, const TensorView& dv) {
  constexpr auto op = "attention_backward";
  if (q.numel() == 0) return;
  if (fused_attention_backward(dout, q, k, v, a, out, log_sum, dq, dk, dv)) return;
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
    launch(op, &softmax_backward_kernel<T>, dim3(static_cast<unsigned>(n.heads * a.q_length)), dim3(kThreads),
           0, a.k_length, static_cast<A>(a.scale), scores.as<const A>(), dp.as<const A>(),
           log_sum.data<const A>(), p.as<T>(), ds.as<T>());
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

}  // namespace cae::cuda
