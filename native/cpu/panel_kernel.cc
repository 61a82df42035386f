#include "cpu/panel_kernel.h"

#include <bit>
#include <utility>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace cae::cpu {
namespace {

using Floats [[gnu::vector_size(4 * kVector), gnu::may_alias]] = float;
using FloatsAnywhere [[gnu::vector_size(4 * kVector), gnu::aligned(4), gnu::may_alias]] = float;

inline Floats load(const float* from) {
  return *reinterpret_cast<const FloatsAnywhere*>(from);
}
inline void store(Floats sums, float* to) {
  *reinterpret_cast<FloatsAnywhere*>(to) = sums;
}

// The two kernels differ in how a word is repeated and multiplied; a macro, since a function cannot be
// inlined into one that is compiled for more instructions.
#define CAE_PANEL_KERNEL(name, repeat, add_product)                                                          \
  template <int R, bool Blocks>                                                                              \
  void name(int64_t words, const Word* a, const Word* b, const float* start, int64_t start_stride, float* c, \
            int64_t c_stride) {                                                                              \
    Floats sums[R][2];                                                                                       \
    _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {                                                   \
      sums[r][0] = load(start + r * start_stride);                                                           \
      sums[r][1] = load(start + r * start_stride + kVector);                                                 \
    }                                                                                                        \
    for (int64_t w = 0; w < words; ++w) {                                                                    \
      const Floats left = *reinterpret_cast<const Floats*>(b);                                               \
      const Floats right = *reinterpret_cast<const Floats*>(b + kVector);                                    \
      _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {                                                 \
        const Floats word = repeat(a[r * (Blocks ? kBlockWords : 1)]);                                       \
        sums[r][0] = add_product(sums[r][0], word, left);                                                    \
        sums[r][1] = add_product(sums[r][1], word, right);                                                   \
      }                                                                                                      \
      if (Blocks)                                                                                            \
        a += w % kBlockWords == kBlockWords - 1 ? (R - 1) * kBlockWords + 1 : 1;                             \
      else                                                                                                   \
        a += R;                                                                                              \
      b += kPanelColumns;                                                                                    \
    }                                                                                                        \
    _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {                                                   \
      store(sums[r][0], c + r * c_stride);                                                                   \
      store(sums[r][1], c + r * c_stride + kVector);                                                         \
    }                                                                                                        \
  }

#define CAE_REPEAT_FLOAT(word) (std::bit_cast<float>(word) - Floats{})
#define CAE_ADD_FLOATS(sum, x, y) ((sum) + (x) * (y))
CAE_PANEL_KERNEL(float_kernel, CAE_REPEAT_FLOAT, CAE_ADD_FLOATS)

struct Kernels {
  PanelKernel of_rows[kPanelRows];
};
template <bool Blocks, size_t... R>
Kernels float_kernels(std::index_sequence<R...>) {
  return {float_kernel<static_cast<int>(R) + 1, Blocks>...};
}

#ifdef __AVX512F__
#define CAE_REPEAT_PAIR(word) reinterpret_cast<Floats>(_mm512_set1_epi32(static_cast<int>(word)))
#define CAE_ADD_PAIRS(sum, x, y) \
  _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y))
#pragma GCC push_options
#pragma GCC target("avx512bf16")
CAE_PANEL_KERNEL(pair_kernel, CAE_REPEAT_PAIR, CAE_ADD_PAIRS)
#pragma GCC pop_options

template <size_t... R>
Kernels pair_kernels(std::index_sequence<R...>) {
  return {pair_kernel<static_cast<int>(R) + 1, false>...};
}
#endif

}  // namespace

PanelKernel panel_kernel(Dtype dtype, int64_t rows) {
  constexpr std::make_index_sequence<kPanelRows> kAll;
  const auto index = static_cast<size_t>(rows - 1);
#ifdef __AVX512F__
  static const Kernels pairs = pair_kernels(kAll);
  if (dtype == Dtype::BF16) return pairs.of_rows[index];
#endif
  check(dtype == Dtype::F32, "gemm", "no panel kernel for ", dtype_name(dtype));
  static const Kernels floats = float_kernels<false>(kAll);
  return floats.of_rows[index];
}

PanelKernel panel_block_kernel(int64_t rows) {
  static const Kernels floats = float_kernels<true>(std::make_index_sequence<kPanelRows>{});
  return floats.of_rows[static_cast<size_t>(rows - 1)];
}

bool halves_have_kernels() {
#ifdef __AVX512F__
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace cae::cpu
