// Attention head by head: threads share out (batch, head) pairs, a head's queries go in blocks, and a block's
// scores live in the thread's own scratch, which stays in its cache. Inputs are read in place. Products are
// of the inputs' type (bf16 ones of probabilities and their gradients rounded to it), sums of the
// accumulating one.
#include "ops/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "cpu/aligned_room.h"
#include "cpu/runs.h"
#include "cpu/small_gemm.h"
#include "cpu/thread_errors.h"
#include "cpu/vector_math.h"

namespace cae::cpu {
namespace {

constexpr int64_t kBlock = 126;  // queries: whole panels of the products

// A matrix of sums in scratch, its rows padded as small_gemm wants them.
template <typename A>
struct Sums {
  A* data;
  int64_t ld;
  Sums(AlignedRoom<A>& room, int64_t rows, int64_t columns)
      : data(room.of(rows * padded_columns(columns))), ld(padded_columns(columns)) {}
  A* row(int64_t r) const { return data + r * ld; }
  // The first columns of each row to memory with another leading dimension.
  template <typename T>
  void write(T* to, int64_t to_ld, int64_t rows, int64_t columns) const {
    for (int64_t r = 0; r < rows; ++r) convert_run(row(r), to + r * to_ld, columns);
  }
};

template <typename T, typename A = Acc<T>>
struct Scratch {
  AlignedRoom<A> scores, dscores, out, dq, dk, dv;
  AlignedRoom<T> rounded, drounded;
};

// Sums as an operand of type T: themselves where they have it, else rounded into `room`.
template <typename T, typename A>
Strided<T> operand(const Sums<A>& sums, int64_t rows, int64_t columns, AlignedRoom<T>& room,
                   bool transposed) {
  if constexpr (std::is_same_v<T, A>) {
    return {sums.data, sums.ld, transposed};
  } else {
    T* to = room.of(rows * sums.ld);
    sums.write(to, sums.ld, rows, columns);
    return {to, sums.ld, transposed};
  }
}

template <typename A>
[[gnu::noinline]] void scale_row(A* scores, A scale, int64_t columns) {
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) scores[c] *= scale;
}

// scores = scale·scores + bias, the bias where there is one.
template <typename A>
[[gnu::noinline]] void shift_row(A* __restrict scores, A scale, const A* __restrict bias, int64_t columns) {
  if (bias == nullptr) return scale_row(scores, scale, columns);
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) scores[c] = scores[c] * scale + bias[c];
}

// Softmax in place; returns the log-sum-exp.
template <typename A>
[[gnu::noinline]] A softmax_row(A* s, int64_t columns) {
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
  return top + std::log(sum);
}

// p = softmax again, from the kept log-sum; ds = p·(dp − delta), the gradient of scale·q·kᵀ + bias.
template <typename A>
[[gnu::noinline]] void softmax_row_backward(A* __restrict p, A* __restrict ds, A log_sum, A delta,
                                            int64_t columns) {
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) {
    p[c] = vexp(p[c] - log_sum);
    ds[c] = p[c] * (ds[c] - delta);
  }
}

// Σ x·y
template <typename T, typename A = Acc<T>>
[[gnu::noinline]] A dot(const T* x, const T* y, int64_t n) {
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += load(x[i]) * load(y[i]);
  return sum;
}

// Where a head's row of a bias [heads,Tq,Tk] starts; null where there is none.
template <typename A>
const A* bias_row(const TensorView& bias, const AttentionLayout& a, int64_t head, int64_t query) {
  return bias ? bias.data<A>() + (head * a.q_length + query) * a.k_length : nullptr;
}

// Where the matrices of sample b, head h start: q and dq, k and dk, v and dv, out and dout.
struct Starts {
  int64_t q, k, v, out, log_sum;
  Starts(const AttentionLayout& a, int64_t b, int64_t h)
      : q(b * a.q_length * a.q_row + h * a.head_dim),
        k(b * a.k_length * a.kv_row + a.k_offset + h * a.head_dim),
        v(b * a.k_length * a.kv_row + a.v_offset + h * a.head_dim),
        out((b * a.q_length * a.heads + h) * a.head_dim),
        log_sum((b * a.heads + h) * a.q_length) {}
};

template <typename T, typename A>
void head_forward(const TensorView& q, const TensorView& k, const TensorView& v, const TensorView& bias,
                  const AttentionLayout& a, const TensorView& out, const TensorView& log_sum, int64_t b,
                  int64_t h, Scratch<T>& room) {
  const int64_t d = a.head_dim;
  const int64_t width = a.heads * d;
  const Starts at(a, b, h);
  const Strided<T> values{v.data<T>() + at.v, a.kv_row};
  for (int64_t start = 0; start < a.q_length; start += kBlock) {
    const int64_t rows = std::min(kBlock, a.q_length - start);
    const Sums<A> scores(room.scores, rows, a.k_length);
    const Sums<A> sums(room.out, rows, d);
    small_gemm(rows, a.k_length, d, Strided<T>{q.data<T>() + at.q + start * a.q_row, a.q_row},
               Strided<T>{k.data<T>() + at.k, a.kv_row, true}, false, scores.data, scores.ld);
    for (int64_t r = 0; r < rows; ++r) {
      shift_row(scores.row(r), static_cast<A>(a.scale), bias_row<A>(bias, a, h, start + r), a.k_length);
      log_sum.data<A>()[at.log_sum + start + r] = softmax_row(scores.row(r), a.k_length);
    }
    small_gemm(rows, d, a.k_length, operand<T>(scores, rows, a.k_length, room.rounded, false), values, false,
               sums.data, sums.ld);
    sums.write(out.data<T>() + at.out + start * width, width, rows, d);
  }
}

// Calls body(task, scratch of its thread) for all tasks, which threads share out.
template <typename T, typename Body>
void share_out(int64_t tasks, Body&& body) {
  ThreadErrors errors;
#pragma omp parallel
  {
    static thread_local Scratch<T> room;
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; ++task) errors.keep(body, task, room);
  }
  errors.rethrow();
}

void forward(const TensorView& q, const TensorView& k, const TensorView& v, const TensorView& bias,
             const AttentionLayout& a, const TensorView& out, const TensorView& log_sum) {
  dispatch_float(q.dtype, "attention", [&]<typename T>(T) {
    share_out<T>(a.batch * a.heads, [&](int64_t bh, Scratch<T>& room) {
      head_forward<T, Acc<T>>(q, k, v, bias, a, out, log_sum, bh / a.heads, bh % a.heads, room);
    });
  });
}

// The head h of sample b; its gradient of the bias is added to dbias [Tq,Tk], where there is one.
template <typename T, typename A>
void head_backward(const TensorView& dout, const TensorView& q, const TensorView& k, const TensorView& v,
                   const TensorView& bias, const AttentionLayout& a, const TensorView& out,
                   const TensorView& log_sum, const TensorView& dq, const TensorView& dk,
                   const TensorView& dv, A* dbias, int64_t b, int64_t h, Scratch<T>& room) {
  const int64_t d = a.head_dim;
  const int64_t width = a.heads * d;
  const A scale = static_cast<A>(a.scale);
  const Starts at(a, b, h);
  const Strided<T> keys{k.data<T>() + at.k, a.kv_row};
  const Sums<A> dkeys(room.dk, a.k_length, d);
  const Sums<A> dvalues(room.dv, a.k_length, d);
  for (int64_t start = 0; start < a.q_length; start += kBlock) {
    const int64_t rows = std::min(kBlock, a.q_length - start);
    const bool more = start > 0;
    const Strided<T> queries{q.data<T>() + at.q + start * a.q_row, a.q_row};
    const T* outs = out.data<T>() + at.out + start * width;
    const Strided<T> douts{dout.data<T>() + at.out + start * width, width};
    const Sums<A> p(room.scores, rows, a.k_length);
    const Sums<A> ds(room.dscores, rows, a.k_length);
    const Sums<A> dqueries(room.dq, rows, d);
    small_gemm(rows, a.k_length, d, queries, {keys.data, keys.ld, true}, false, p.data, p.ld);
    small_gemm(rows, a.k_length, d, douts, Strided<T>{v.data<T>() + at.v, a.kv_row, true}, false, ds.data,
               ds.ld);
    for (int64_t r = 0; r < rows; ++r) {
      shift_row(p.row(r), scale, bias_row<A>(bias, a, h, start + r), a.k_length);
      softmax_row_backward(p.row(r), ds.row(r), log_sum.data<A>()[at.log_sum + start + r],
                           dot(outs + r * width, douts.data + r * width, d), a.k_length);
      if (dbias != nullptr) add_run(dbias + (start + r) * a.k_length, ds.row(r), a.k_length);
      scale_row(ds.row(r), scale, a.k_length);
    }
    const auto [rounded, ld, unused] = operand<T>(ds, rows, a.k_length, room.drounded, false);
    small_gemm(a.k_length, d, rows, operand<T>(p, rows, a.k_length, room.rounded, true), douts, more,
               dvalues.data, dvalues.ld);
    small_gemm(rows, d, a.k_length, Strided<T>{rounded, ld}, keys, false, dqueries.data, dqueries.ld);
    small_gemm(a.k_length, d, rows, Strided<T>{rounded, ld, true}, queries, more, dkeys.data, dkeys.ld);
    dqueries.write(dq.data<T>() + at.q + start * a.q_row, a.q_row, rows, d);
  }
  dkeys.write(dk.data<T>() + at.k, a.kv_row, a.k_length, d);
  dvalues.write(dv.data<T>() + at.v, a.kv_row, a.k_length, d);
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
    share_out<T>(a.batch * a.heads, [&](int64_t bh, Scratch<T>& room) {
      head_backward<T, A>(dout, q, k, v, TensorView{}, a, out, log_sum, dq, dk, dv, nullptr, bh / a.heads,
                          bh % a.heads, room);
    });
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
    share_out<T>(groups * a.heads, [&](int64_t task, Scratch<T>& room) {
      const int64_t h = task % a.heads;
      const int64_t group = task / a.heads;
      A* sums = group == 0 ? dbias.data<A>() + h * head_size
                           : others.data() + ((group - 1) * a.heads + h) * head_size;
      std::fill_n(sums, head_size, A(0));
      for (int64_t b = a.batch * group / groups; b < a.batch * (group + 1) / groups; ++b)
        head_backward<T, A>(dout, q, k, v, bias, a, out, log_sum, dq, dk, dv, sums, b, h, room);
    });
    for (int64_t group = 1; group < groups; ++group)
      add_run(dbias.data<A>(), others.data() + (group - 1) * a.heads * head_size, a.heads * head_size);
  });
}

}  // namespace cae::cpu
