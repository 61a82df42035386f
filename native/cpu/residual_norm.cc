// A residual connection and the norm behind it, a row at a time: what one loop writes, the next one reads
// from the first cache.
#include "ops/residual_norm.h"

#include <cmath>

#include "cpu/column_sum.h"

namespace cae::cpu {
namespace {

// Calls body(A{}, B{}, Y{}) with the types of a stream, its branch and its normalised copy.
template <typename Body>
void dispatch_triple(Dtype branch, Dtype normal, const char* op, Body&& body) {
  dispatch_float(branch, op, [&]<typename B>(B) {
    if (normal == branch)
      body(Acc<B>{}, B{}, B{});
    else if constexpr (!std::is_same_v<Acc<B>, B>)
      body(Acc<B>{}, B{}, Acc<B>{});
    else
      fail(op, "a normalised copy in ", dtype_name(normal), " beside a branch in ", dtype_name(branch));
  });
}

// bf16 by its bits: the compiler does not vectorise a loop that stores the struct.
template <typename T>
CAE_INLINE void put(T* to, int64_t at, Acc<T> value) {
  if constexpr (std::is_same_v<T, BF16>)
    to[at].bits = BF16::round(value);
  else
    to[at] = value;
}

// stream = x + k·gamma·branch; returns its sum.
template <typename A, typename B>
[[gnu::noinline]] A add_branch(const A* __restrict x, const B* __restrict branch, const A* gamma, A k,
                               A* __restrict stream, int64_t n) {
  A sum = 0;
  if (gamma == nullptr) {
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < n; ++c) {
      stream[c] = x[c] + k * load(branch[c]);
      sum += stream[c];
    }
    return sum;
  }
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < n; ++c) {
    stream[c] = x[c] + k * gamma[c] * load(branch[c]);
    sum += stream[c];
  }
  return sum;
}

template <typename A>
[[gnu::noinline]] A squares_about(const A* __restrict row, A mean, int64_t n) {
  A squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < n; ++c) squares += (row[c] - mean) * (row[c] - mean);
  return squares;
}

template <typename A, typename Y>
[[gnu::noinline]] void normalise(const A* __restrict row, A mean, A rstd, const A* __restrict gain,
                                 const A* __restrict shift, Y* __restrict y, int64_t n) {
#pragma omp simd
  for (int64_t c = 0; c < n; ++c) put(y, c, (row[c] - mean) * rstd * gain[c] + shift[c]);
}

template <typename A>
struct MeanGradients {
  A g, gx;  // of dy·gain, and of it times the normalised row
};

// Adds one row's terms to the gradients of gain and shift.
template <typename A, typename Y>
[[gnu::noinline]] MeanGradients<A> add_norm_sums(const Y* __restrict dy, const A* __restrict row, A mean,
                                                 A rstd, const A* __restrict gain, A* __restrict dgain,
                                                 A* __restrict dshift, int64_t n) {
  A sum_g = 0;
  A sum_gx = 0;
#pragma omp simd reduction(+ : sum_g, sum_gx)
  for (int64_t c = 0; c < n; ++c) {
    const A normal = (row[c] - mean) * rstd;
    const A d = load(dy[c]);
    dgain[c] += d * normal;
    dshift[c] += d;
    sum_g += d * gain[c];
    sum_gx += d * gain[c] * normal;
  }
  return {sum_g / static_cast<A>(n), sum_gx / static_cast<A>(n)};
}

// dx = rstd·(dy·gain − means.g − x̂·means.gx) (+ dstream).
template <typename A, typename Y>
[[gnu::noinline]] void stream_gradient(const Y* __restrict dy, const A* dstream, const A* __restrict row,
                                       A mean, A rstd, const A* __restrict gain, MeanGradients<A> means,
                                       A* __restrict dx, int64_t n) {
  const auto of_norm = [&](int64_t c) {
    return rstd * (load(dy[c]) * gain[c] - means.g - (row[c] - mean) * rstd * means.gx);
  };
  if (dstream == nullptr) {
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) dx[c] = of_norm(c);
    return;
  }
#pragma omp simd
  for (int64_t c = 0; c < n; ++c) dx[c] = of_norm(c) + dstream[c];
}

// dbranch = k·gamma·dx
template <typename A, typename B>
[[gnu::noinline]] void branch_gradient(const A* __restrict dx, const A* gamma, A k, B* __restrict dbranch,
                                       int64_t n) {
  if (gamma == nullptr) {
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) put(dbranch, c, k * dx[c]);
    return;
  }
#pragma omp simd
  for (int64_t c = 0; c < n; ++c) put(dbranch, c, k * gamma[c] * dx[c]);
}

// dgamma += k·dx·branch
template <typename A, typename B>
[[gnu::noinline]] void add_scale_gradient(const A* __restrict dx, const B* __restrict branch, A k,
                                          A* __restrict dgamma, int64_t n) {
#pragma omp simd
  for (int64_t c = 0; c < n; ++c) dgamma[c] += k * dx[c] * load(branch[c]);
}

}  // namespace

void residual_norm_forward(const TensorView& x, const TensorView& branch, const TensorView& gamma,
                           const TensorView& keep, const TensorView& weight, const TensorView& bias,
                           double eps, const TensorView& stream, const TensorView& y, const TensorView& mean,
                           const TensorView& rstd) {
  const int64_t rows = x.shape.rows();
  const int64_t tokens = x.shape[1];
  const int64_t columns = x.shape[2];
  dispatch_triple(branch.dtype, y.dtype, "residual_norm", [&]<typename A, typename B, typename Y>(A, B, Y) {
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = r * columns;
      A* const row = stream.data<A>() + at;
      const A k = keep ? keep.data<A>()[r / tokens] : A(1);
      const A sum = add_branch(x.data<A>() + at, branch.data<B>() + at, gamma.data<A>(), k, row, columns);
      const A m = sum / static_cast<A>(columns);
      const A s =
          1 / std::sqrt(squares_about(row, m, columns) / static_cast<A>(columns) + static_cast<A>(eps));
      mean.data<A>()[r] = m;
      rstd.data<A>()[r] = s;
      normalise(row, m, s, weight.data<A>(), bias.data<A>(), y.data<Y>() + at, columns);
    }
  });
}

void residual_norm_backward(const TensorView& dy, const TensorView& dstream, const TensorView& stream,
                            const TensorView& branch, const TensorView& gamma, const TensorView& keep,
                            const TensorView& weight, const TensorView& bias, const TensorView& mean,
                            const TensorView& rstd, const TensorView& dx, const TensorView& dbranch,
                            const TensorView& dgamma, const TensorView& dweight, const TensorView& dbias,
                            bool accumulate, const TensorView& y) {
  const int64_t tokens = stream.shape[1];
  const int64_t columns = stream.shape[2];
  constexpr auto op = "residual_norm_backward";
  dispatch_triple(dbranch.dtype, dy.dtype, op, [&]<typename A, typename B, typename Y>(A, B, Y) {
    A* sums[] = {dgamma.data<A>(), dweight.data<A>(), dbias.data<A>()};
    sum_over_rows<A>(stream.shape.rows(), columns, 3, sums, accumulate, [&](int64_t r, A* partial) {
      const int64_t at = r * columns;
      const A* const row = stream.data<A>() + at;
      const Y* const from = dy.data<Y>() + at;
      A* const to = dx.data<A>() + at;
      const A m = mean.data<A>()[r];
      const A s = rstd.data<A>()[r];
      const A k = keep ? keep.data<A>()[r / tokens] : A(1);
      const MeanGradients<A> means =
          add_norm_sums(from, row, m, s, weight.data<A>(), partial + columns, partial + 2 * columns, columns);
      stream_gradient(from, dstream ? dstream.data<A>() + at : nullptr, row, m, s, weight.data<A>(), means,
                      to, columns);
      branch_gradient(to, gamma.data<A>(), k, dbranch.data<B>() + at, columns);
      if (dgamma) add_scale_gradient(to, branch.data<B>() + at, k, partial, columns);
      if (y) normalise(row, m, s, weight.data<A>(), bias.data<A>(), y.data<Y>() + at, columns);
    });
  });
}

}  // namespace cae::cpu
