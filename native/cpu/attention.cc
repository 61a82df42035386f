// Attention head by head: threads share out (batch, head) pairs, a head's queries go in blocks, and a block's
// scores live in the thread's own scratch, which stays in its cache. Inputs in f32 and f64 are read in place;
// bf16 ones are widened into scratch first.
#include "ops/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "cpu/gemm.h"
#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

constexpr int64_t kBlock = 128;

// A head's [rows, head_dim] matrix with a leading dimension.
template <typename A>
struct Head {
  A* data;
  int64_t ld;
  A* row(int64_t r) const { return data + r * ld; }
};

// The head as numbers of the computing type: in place when it has that type, else widened into `room`.
template <typename T, typename A = Acc<T>>
Head<const A> widened(const T* from, int64_t ld, int64_t rows, int64_t dim, std::vector<A>& room) {
  if constexpr (std::is_same_v<T, A>) {
    return {from, ld};
  } else {
    room.resize(static_cast<size_t>(rows * dim));
    for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
      for (int64_t c = 0; c < dim; ++c) room[r * dim + c] = load(from[r * ld + c]);
    }
    return {room.data(), dim};
  }
}

// Where to compute a result of type T: in place, or in `room` until narrow() writes it.
template <typename T, typename A = Acc<T>>
Head<A> result(T* to, int64_t ld, int64_t rows, int64_t dim, std::vector<A>& room) {
  if constexpr (std::is_same_v<T, A>) {
    return {to, ld};
  } else {
    room.resize(static_cast<size_t>(rows * dim));
    return {room.data(), dim};
  }
}

template <typename T, typename A>
void narrow(const Head<A>& from, T* to, int64_t ld, int64_t rows, int64_t dim) {
  if constexpr (!std::is_same_v<T, A>)
    for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
      for (int64_t c = 0; c < dim; ++c) to[r * ld + c] = store<T>(from.row(r)[c]);
    }
}

template <typename A>
struct Scratch {
  std::vector<A> q, k, v, out, dout, dq, dk, dv, scores, dscores;
};

// Adds a row of the bias to a row of scores, where there is one.
template <typename A>
void add_row(const A* bias, A* scores, int64_t columns) {
  if (bias == nullptr) return;
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) scores[c] += bias[c];
}

// Row-wise softmax in place, of scores + bias where there is one; log_sum gets each row's log-sum-exp.
template <typename A>
void softmax_rows(A* scores, const A* bias, int64_t rows, int64_t columns, A* log_sum) {
  for (int64_t r = 0; r < rows; ++r) {
    A* s = scores + r * columns;
    add_row(bias == nullptr ? nullptr : bias + r * columns, s, columns);
    A top = s[0];
#pragma omp simd reduction(max : top)
    for (int64_t c = 0; c < columns; ++c) top = s[c] > top ? s[c] : top;
    A sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < columns; ++c) {
      s[c] = vexp(s[c] - top);
      sum += s[c];
    }
    const A inverse = 1 / sum;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) s[c] *= inverse;
    log_sum[r] = top + std::log(sum);
  }
}

// Where a head's rows of a bias [heads,Tq,Tk] start from a query on; null where there is none.
template <typename A>
A* bias_rows(const TensorView& bias, const AttentionLayout& a, int64_t head, int64_t query) {
  return bias ? bias.data<A>() + (head * a.q_length + query) * a.k_length : nullptr;
}

void forward(const TensorView& q, const TensorView& k, const TensorView& v, const TensorView& bias,
             const AttentionLayout& a, const TensorView& out, const TensorView& log_sum) {
  const int64_t d = a.head_dim;
  const int64_t width = a.heads * d;
  dispatch_float(q.dtype, "attention", [&]<typename T>(T) {
    using A = Acc<T>;
#pragma omp parallel
    {
      static thread_local Scratch<A> room;
#pragma omp for schedule(static)
      for (int64_t bh = 0; bh < a.batch * a.heads; ++bh) {
        const int64_t b = bh / a.heads;
        const int64_t h = bh % a.heads;
        const T* q_at = q.data<T>() + b * a.q_length * a.q_row + h * d;
        T* out_at = out.data<T>() + b * a.q_length * width + h * d;
        const auto keys = widened(k.data<T>() + b * a.k_length * a.kv_row + a.k_offset + h * d, a.kv_row,
                                  a.k_length, d, room.k);
        const auto values = widened(v.data<T>() + b * a.k_length * a.kv_row + a.v_offset + h * d, a.kv_row,
                                    a.k_length, d, room.v);
        for (int64_t start = 0; start < a.q_length; start += kBlock) {
          const int64_t rows = std::min(kBlock, a.q_length - start);
          const auto queries = widened(q_at + start * a.q_row, a.q_row, rows, d, room.q);
          const auto to = result(out_at + start * width, width, rows, d, room.out);
          room.scores.resize(static_cast<size_t>(rows * a.k_length));
          A* scores = room.scores.data();
          blas_gemm(false, true, rows, a.k_length, d, static_cast<A>(a.scale), queries.data, queries.ld,
                    keys.data, keys.ld, A(0), scores, a.k_length);
          softmax_rows(scores, bias_rows<const A>(bias, a, h, start), rows, a.k_length,
                       log_sum.data<A>() + bh * a.q_length + start);
          blas_gemm(false, false, rows, d, a.k_length, A(1), scores, a.k_length, values.data, values.ld, A(0),
                    to.data, to.ld);
          narrow(to, out_at + start * width, width, rows, d);
        }
      }
    }
  });
}

// The head h of sample b; its gradient of the bias is added to dbias [Tq,Tk], where there is one.
template <typename T, typename A>
void head_backward(const TensorView& dout, const TensorView& q, const TensorView& k, const TensorView& v,
                   const TensorView& bias, const AttentionLayout& a, const TensorView& out,
                   const TensorView& log_sum, const TensorView& dq, const TensorView& dk,
                   const TensorView& dv, A* dbias, int64_t b, int64_t h, Scratch<A>& room) {
  const int64_t d = a.head_dim;
  const int64_t width = a.heads * d;
  const int64_t q_at = b * a.q_length * a.q_row + h * d;
  const int64_t k_at = b * a.k_length * a.kv_row + a.k_offset + h * d;
  const int64_t v_at = b * a.k_length * a.kv_row + a.v_offset + h * d;
  const int64_t out_at = b * a.q_length * width + h * d;
  const A scale = static_cast<A>(a.scale);
  const auto keys = widened(k.data<T>() + k_at, a.kv_row, a.k_length, d, room.k);
  const auto values = widened(v.data<T>() + v_at, a.kv_row, a.k_length, d, room.v);
  const auto dkeys = result(dk.data<T>() + k_at, a.kv_row, a.k_length, d, room.dk);
  const auto dvalues = result(dv.data<T>() + v_at, a.kv_row, a.k_length, d, room.dv);
  for (int64_t start = 0; start < a.q_length; start += kBlock) {
    const int64_t rows = std::min(kBlock, a.q_length - start);
    const A beta = start == 0 ? A(0) : A(1);
    const auto queries = widened(q.data<T>() + q_at + start * a.q_row, a.q_row, rows, d, room.q);
    const auto outs = widened(out.data<T>() + out_at + start * width, width, rows, d, room.out);
    const auto douts = widened(dout.data<T>() + out_at + start * width, width, rows, d, room.dout);
    const auto dqueries = result(dq.data<T>() + q_at + start * a.q_row, a.q_row, rows, d, room.dq);
    room.scores.resize(static_cast<size_t>(rows * a.k_length));
    room.dscores.resize(static_cast<size_t>(rows * a.k_length));
    A* p = room.scores.data();
    A* ds = room.dscores.data();
    blas_gemm(false, true, rows, a.k_length, d, scale, queries.data, queries.ld, keys.data, keys.ld, A(0), p,
              a.k_length);
    blas_gemm(false, true, rows, a.k_length, d, A(1), douts.data, douts.ld, values.data, values.ld, A(0), ds,
              a.k_length);
    // p = softmax again, from the kept log-sum; ds = p·(dp − Σ dout·out), the gradient of scale·q·kᵀ + bias
    const A* bias_row = bias_rows<const A>(bias, a, h, start);
    for (int64_t r = 0; r < rows; ++r) {
      const A log_total = log_sum.data<A>()[(b * a.heads + h) * a.q_length + start + r];
      A delta = 0;
      for (int64_t c = 0; c < d; ++c) delta += outs.row(r)[c] * douts.row(r)[c];
      A* p_row = p + r * a.k_length;
      A* ds_row = ds + r * a.k_length;
      add_row(bias_row == nullptr ? nullptr : bias_row + r * a.k_length, p_row, a.k_length);
#pragma omp simd
      for (int64_t c = 0; c < a.k_length; ++c) {
        const A probability = vexp(p_row[c] - log_total);
        p_row[c] = probability;
        ds_row[c] = probability * (ds_row[c] - delta);
      }
      if (dbias != nullptr) add_row<A>(ds_row, dbias + (start + r) * a.k_length, a.k_length);
    }
    blas_gemm(true, false, a.k_length, d, rows, A(1), p, a.k_length, douts.data, douts.ld, beta, dvalues.data,
              dvalues.ld);
    blas_gemm(false, false, rows, d, a.k_length, scale, ds, a.k_length, keys.data, keys.ld, A(0),
              dqueries.data, dqueries.ld);
    blas_gemm(true, false, a.k_length, d, rows, scale, ds, a.k_length, queries.data, queries.ld, beta,
              dkeys.data, dkeys.ld);
    narrow(dqueries, dq.data<T>() + q_at + start * a.q_row, a.q_row, rows, d);
  }
  narrow(dkeys, dk.data<T>() + k_at, a.kv_row, a.k_length, d);
  narrow(dvalues, dv.data<T>() + v_at, a.kv_row, a.k_length, d);
}

}  // namespace

void attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                       const AttentionLayout& a, const TensorView& out, const TensorView& log_sum) {
  forward(q, k, v, TensorView{}, a, out, log_sum);
}

void biased_attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                              const TensorView& bias, const AttentionLayout& a, const TensorView& out,
                              const TensorView& log_sum) {
  forward(q, k, v, bias, a, out, log_sum);
}

void attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k, const TensorView& v,
                        const AttentionLayout& a, const TensorView& out, const TensorView& log_sum,
                        const TensorView& dq, const TensorView& dk, const TensorView& dv) {
  dispatch_float(q.dtype, "attention_backward", [&]<typename T>(T) {
    using A = Acc<T>;
#pragma omp parallel
    {
      static thread_local Scratch<A> room;
#pragma omp for schedule(static)
      for (int64_t bh = 0; bh < a.batch * a.heads; ++bh)
        head_backward<T, A>(dout, q, k, v, TensorView{}, a, out, log_sum, dq, dk, dv, nullptr, bh / a.heads,
                            bh % a.heads, room);
    }
  });
}

void biased_attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k,
                               const TensorView& v, const TensorView& bias, const AttentionLayout& a,
                               const TensorView& out, const TensorView& log_sum, const TensorView& dq,
                               const TensorView& dk, const TensorView& dv, const TensorView& dbias) {
  // A task is a head over a group of samples, which it sums in order; with fewer heads than threads there
  // are several groups, the first of which sums into dbias itself.
  const int64_t groups =
      std::clamp<int64_t>((omp_get_max_threads() + a.heads - 1) / a.heads, 1, std::max<int64_t>(a.batch, 1));
  const int64_t head_size = a.q_length * a.k_length;
  dispatch_float(q.dtype, "biased_attention_backward", [&]<typename T>(T) {
    using A = Acc<T>;
    std::vector<A> others(static_cast<size_t>((groups - 1) * a.heads * head_size));
#pragma omp parallel
    {
      static thread_local Scratch<A> room;
#pragma omp for schedule(static)
      for (int64_t task = 0; task < groups * a.heads; ++task) {
        const int64_t h = task % a.heads;
        const int64_t group = task / a.heads;
        A* sums = group == 0 ? dbias.data<A>() + h * head_size
                             : others.data() + ((group - 1) * a.heads + h) * head_size;
        std::fill_n(sums, head_size, A(0));
        for (int64_t b = a.batch * group / groups; b < a.batch * (group + 1) / groups; ++b)
          head_backward<T, A>(dout, q, k, v, bias, a, out, log_sum, dq, dk, dv, sums, b, h, room);
      }
    }
    for (int64_t group = 1; group < groups; ++group)
      add_row<A>(others.data() + (group - 1) * a.heads * head_size, dbias.data<A>(), a.heads * head_size);
  });
}

}  // namespace cae::cpu
