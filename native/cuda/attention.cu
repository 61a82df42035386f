// Attention: the library's kernel where it has one (f16 and bf16 on most devices); else products over all
// heads at once around own softmax kernels, with the heads gathered before and scattered after.
#include "cuda/dispatch.h"
#include "cuda/library.h"
#include "cuda/row_sums.h"
#include "ops/attention.h"
#include "ops/pointwise.h"

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

// Rows of scores before the softmax: scale·scores, and a bias [heads, queries, keys] that all samples share,
// where there is one.
template <typename A>
struct Scores {
  const A* scores;
  const A* bias;
  A scale;
  int64_t rows, columns;  // rows of one sample: heads·queries
  // Of row `row` of a sample; `from` is the row's place in the whole batch.
  __device__ A at(int64_t from, int64_t row, int64_t column) const {
    const A score = scale * scores[from * columns + column];
    return bias == nullptr ? score : score + bias[row * columns + column];
  }
};

// p = softmax by rows, and each row's log-sum-exp.
template <typename T>
__global__ void __launch_bounds__(kThreads) softmax_kernel(Scores<Acc<T>> s, T* p, Acc<T>* log_sum) {
  using A = Acc<T>;
  const int64_t from = blockIdx.x;
  const int64_t row = s.bias == nullptr ? 0 : remainder_of(from, s.rows);
  A top = static_cast<A>(-INFINITY);
  for (int64_t c = threadIdx.x; c < s.columns; c += kThreads) top = Max{}(top, s.at(from, row, c));
  top = over_block<Max>(top);
  A sum = 0;
  for (int64_t c = threadIdx.x; c < s.columns; c += kThreads) sum += fast_exp(s.at(from, row, c) - top);
  sum = over_block<Sum>(sum);
  const A inverse = A(1) / sum;
  for (int64_t c = threadIdx.x; c < s.columns; c += kThreads)
    p[from * s.columns + c] = T(fast_exp(s.at(from, row, c) - top) * inverse);
  if (threadIdx.x == 0) log_sum[from] = top + std::log(sum);
}

// p again from the kept log-sums, and ds = p·(dp − Σ p·dp)·scale. A block has row blockIdx.x of the samples
// of a group, one after another, and sums what is the bias's gradient in shared memory, each thread its own
// columns: dbias is [groups, rows, columns], or null.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    softmax_backward_kernel(Scores<Acc<T>> s, int64_t batch, int64_t group_size, const Acc<T>* dp,
                            const Acc<T>* log_sum, T* p, T* ds, Acc<T>* dbias) {
  using A = Acc<T>;
  A* const sums = shared_memory<A>();
  const int64_t row = blockIdx.x;
  const int64_t begin = blockIdx.y * group_size;
  const int64_t end = begin + group_size < batch ? begin + group_size : batch;
  if (dbias != nullptr)
    for (int64_t c = threadIdx.x; c < s.columns; c += kThreads) sums[c] = 0;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t from = b * s.rows + row;
    const int64_t start = from * s.columns;
    const A log_total = log_sum[from];
    A dot = 0;
    for (int64_t c = threadIdx.x; c < s.columns; c += kThreads)
      dot += fast_exp(s.at(from, row, c) - log_total) * dp[start + c];
    dot = over_block<Sum>(dot);
    for (int64_t c = threadIdx.x; c < s.columns; c += kThreads) {
      const A probability = fast_exp(s.at(from, row, c) - log_total);
      const A slope = probability * (dp[start + c] - dot);
      p[start + c] = T(probability);
      ds[start + c] = T(slope * s.scale);
      if (dbias != nullptr) sums[c] += slope;
    }
  }
  if (dbias == nullptr) return;
  for (int64_t c = threadIdx.x; c < s.columns; c += kThreads)
    dbias[(blockIdx.y * s.rows + row) * s.columns + c] = sums[c];
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
    return {scores, bias.data<const A>(), static_cast<A>(a.scale), a.heads * a.q_length, a.k_length};
  }
};

// Runs softmax_backward_kernel; with dbias, over groups of samples whose sums are added up behind it.
template <typename T>
void softmax_backward(const char* op, const Scores<Acc<T>>& s, int64_t batch, const Acc<T>* dp,
                      const Acc<T>* log_sum, T* p, T* ds, Acc<T>* dbias) {
  using A = Acc<T>;
  // Enough blocks to fill the device several times over: a group leaves sums as large as the bias.
  const int64_t wanted = blocks_for(int64_t{128} * processors(), s.rows);
  const int64_t group_size = dbias == nullptr ? 1 : blocks_for(batch, std::min(batch, wanted));
  const int64_t groups = blocks_for(batch, group_size);
  const size_t row_bytes = dbias == nullptr ? 0 : sizeof(A) * static_cast<size_t>(s.columns);
  check(groups < 65536, op, "a batch of ", batch, " is more than the kernel takes; lower --batch_size");
  check(row_bytes <= size_t{46} << 10, op, s.columns, " keys are more than a block's memory holds");
  const bool direct = dbias == nullptr || groups == 1;
  const int64_t size = s.rows * s.columns;
  const Scratch partial(direct ? 0 : sizeof(A) * static_cast<size_t>(groups * size));
  launch(op, &softmax_backward_kernel<T>, dim3(static_cast<unsigned>(s.rows), static_cast<unsigned>(groups)),
         dim3(kThreads), row_bytes, s, batch, group_size, dp, log_sum, p, ds,
         direct ? dbias : partial.as<A>());
  if (!direct) sum_rows(op, partial.as<const A>(), groups, size, size, dbias, false);
}

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
    launch(op, &softmax_kernel<T>, dim3(static_cast<unsigned>(n.heads * a.q_length)), dim3(kThreads), 0,
           n.rows_of(scores.as<const A>(), bias, a), p.as<T>(), log_sum.data<A>());
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
    softmax_backward<T>(op, n.rows_of(scores.as<const A>(), bias, a), a.batch, dp.as<const A>(),
                        log_sum.data<const A>(), p.as<T>(), ds.as<T>(), dbias.data<A>());
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
  if (out.numel() == 0 || fused_attention_forward(q, k, v, a, out, log_sum)) return;
  forward("attention", q, k, v, {}, a, out, log_sum);
}

void biased_attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                              const TensorView& bias, const AttentionLayout& a, const TensorView& out,
                              const TensorView& log_sum) {
  if (out.numel() > 0) forward("biased_attention", q, k, v, bias, a, out, log_sum);
}

void attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k, const TensorView& v,
                        const AttentionLayout& a, const TensorView& out, const TensorView& log_sum,
                        const TensorView& dq, const TensorView& dk, const TensorView& dv) {
  if (q.numel() == 0 || fused_attention_backward(dout, q, k, v, a, out, log_sum, dq, dk, dv)) return;
  backward("attention_backward", dout, q, k, v, {}, a, log_sum, dq, dk, dv, {});
}

void biased_attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k,
                               const TensorView& v, const TensorView& bias, const AttentionLayout& a,
                               const TensorView&, const TensorView& log_sum, const TensorView& dq,
                               const TensorView& dk, const TensorView& dv, const TensorView& dbias) {
  if (q.numel() == 0)
    fill_constant(dbias, 0);
  else
    backward("biased_attention_backward", dout, q, k, v, bias, a, log_sum, dq, dk, dv, dbias);
}

}  // namespace cae::cuda
