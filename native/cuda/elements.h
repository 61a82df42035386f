#pragma once

#include <algorithm>

#include "cuda/kernel.h"

// Passes over the elements of equally shaped tensors.
namespace cae::cuda {

constexpr int kElementThreads = 256;

template <int N, typename Y, typename Body, typename... P>
__device__ inline void map_pack(int64_t at, Y* y, const Body& body, const P&... packs) {
  Pack<Acc<Y>, N> out;
#pragma unroll
  for (int i = 0; i < N; ++i) out.at[i] = body(at + i, packs.at[i]...);
  store<N>(y + at, out);
}

// A thread takes one pack; the threads behind the last whole pack take an element each.
template <int N, typename Y, typename Body, typename... X>
__global__ void __launch_bounds__(kElementThreads) map_kernel(int64_t n, Y* y, Body body, const X*... x) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  const int64_t whole = n / N;
  if (thread < whole) {
    map_pack<N>(thread * N, y, body, load<N>(x + thread * N)...);
    return;
  }
  const int64_t at = whole * N + (thread - whole);
  if (at < n) map_pack<1>(at, y, body, load<1>(x + at)...);
}

// y[i] = body(i, x[i]…), all widened to what sums are kept in.
template <typename Y, typename Body, typename... X>
void map_elements(const char* op, int64_t n, Y* y, const Body& body, const X*... x) {
  constexpr int kFull = 16 / static_cast<int>(std::min({sizeof(Y), sizeof(X)...}));
  if (n == 0) return;
  with_width<kFull>(moves_by<1>(n, y, x...), [&]<int N>(std::integral_constant<int, N>) {
    launch(op, &map_kernel<N, Y, Body, X...>, dim3(blocks_for(n / N + n % N, kElementThreads)),
           dim3(kElementThreads), 0, n, y, body, x...);
  });
}

template <int N, typename A, typename Body, typename... P>
__device__ inline A sum_pack(const Body& body, const P&... packs) {
  A sum = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) sum += body(packs.at[i]...);
  return sum;
}

template <int N, typename A, typename Body, typename... X>
__global__ void __launch_bounds__(kElementThreads)
    sum_kernel(int64_t n, double* partial, Body body, const X*... x) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kElementThreads;
  double sum = 0;
  for (int64_t pack = thread; pack < n / N; pack += step)
    sum += static_cast<double>(sum_pack<N, A>(body, load<N>(x + pack * N)...));
  const int64_t rest = n / N * N + thread;
  if (rest < n) sum += static_cast<double>(sum_pack<1, A>(body, load<1>(x + rest)...));
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// out[blockIdx.x] = factor·Σ of `count` values; block b sums the b-th run of them.
template <typename V, typename A>
__global__ void __launch_bounds__(1024)
    finish_scalar_kernel(const V* values, int64_t count, double factor, A* first, A* second) {
  const V* own = values + count * blockIdx.x;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += static_cast<double>(own[i]);
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) *(blockIdx.x == 0 ? first : second) = static_cast<A>(sum * factor);
}

// *first = factor·Σ values[0, count) and, if wanted, *second = factor·Σ values[count, 2·count).
template <typename V, typename A>
void finish_scalars(const char* op, const V* values, int64_t count, double factor, A* first,
                    A* second = nullptr) {
  launch(op, &finish_scalar_kernel<V, A>, dim3(second == nullptr ? 1 : 2), dim3(1024), 0, values, count,
         factor, first, second);
}

// *out = factor·Σ body(x[i]…); sums of a block in double, and always in the same order.
template <typename A, typename Body, typename... X>
void sum_elements(const char* op, int64_t n, double factor, A* out, const Body& body, const X*... x) {
  constexpr int kFull = 16 / static_cast<int>(std::min({sizeof(X)...}));
  with_width<kFull>(moves_by<1>(n, x...), [&]<int N>(std::integral_constant<int, N>) {
    const unsigned blocks =
        std::min(blocks_for(n / N + n % N, kElementThreads), static_cast<unsigned>(8 * processors()));
    const Scratch partial(sizeof(double) * blocks);
    launch(op, &sum_kernel<N, A, Body, X...>, dim3(blocks), dim3(kElementThreads), 0, n, partial.as<double>(),
           body, x...);
    finish_scalars(op, partial.as<const double>(), blocks, factor, out);
  });
}

}  // namespace cae::cuda
