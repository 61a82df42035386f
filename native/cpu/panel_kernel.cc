#include "cpu/panel_kernel.h"

#include <array>
#include <utility>

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

// What a word is. Products are written as instructions: the compiler, left to choose among their forms,
// copies sums from register to register and through memory; and the one of halves takes no function of its
// own that way, compiled for more instructions than the others.
struct Number {
  static void add_product(Floats& sum, Floats x, Floats y) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
  }
};
struct TwoHalves {
  static void add_product(Floats& sum, Floats x, Floats y) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
  }
};

// A word of R rows, and of both vectors of columns.
template <typename OfWords, int R, int64_t RowStep>
[[gnu::always_inline]] inline void add_word(const float* a, const float* b, Floats (&sums)[R][2]) {
  const Floats left = *reinterpret_cast<const Floats*>(b);
  const Floats right = *reinterpret_cast<const Floats*>(b + kVector);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Floats word = a[r * RowStep] - Floats{};
    OfWords::add_product(sums[r][0], word, left);
    OfWords::add_product(sums[r][1], word, right);
  }
}

template <typename OfWords, int R, bool Blocks>
void kernel(int64_t words, const Word* a_words, const Word* b_words, const float* start, int64_t start_stride,
            float* c, int64_t c_stride) {
  constexpr int64_t kRow = PanelSteps<R, Blocks>::kRow;
  constexpr int64_t kWord = PanelSteps<R, Blocks>::kWord;
  // Words in one go: the loop's own instructions count where vectors are short.
  constexpr int64_t kTurn = kVector == 16 ? 1 : 4;
  static_assert(kBlockWords % kTurn == 0);
  const auto* a = reinterpret_cast<const float*>(a_words);
  const auto* b = reinterpret_cast<const float*>(b_words);
  Floats sums[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = Floats{};
  int64_t w = 0;
  for (; w + kTurn <= words; w += kTurn) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < kTurn; ++i)
      add_word<OfWords, R, kRow>(a + i * kWord, b + i * kPanelColumns, sums);
    a += kTurn * kWord;
    b += kTurn * kPanelColumns;
    if (Blocks && (w + kTurn) % kBlockWords == 0) a += (R - 1) * kBlockWords;
  }
  for (; w < words; ++w) {
    add_word<OfWords, R, kRow>(a, b, sums);
    a += kWord;
    b += kPanelColumns;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
    for (int64_t i = 0; i < 2; ++i)
      store(load(start + r * start_stride + i * kVector) + sums[r][i], c + r * c_stride + i * kVector);
}

template <typename OfWords, bool Blocks, size_t... R>
constexpr std::array<PanelKernel, sizeof...(R)> kernels_of(std::index_sequence<R...>) {
  return {kernel<OfWords, static_cast<int>(R) + 1, Blocks>...};
}
constexpr std::make_index_sequence<kPanelRows> kAllRows;

}  // namespace

PanelKernel panel_kernel(Dtype dtype, int64_t rows) {
  const auto index = static_cast<size_t>(rows - 1);
#ifdef __AVX512F__
  static constexpr auto kOfHalves = kernels_of<TwoHalves, false>(kAllRows);
  if (dtype == Dtype::BF16) return kOfHalves[index];
#endif
  check(dtype == Dtype::F32, "gemm", "no panel kernel for ", dtype_name(dtype));
  static constexpr auto kOfNumbers = kernels_of<Number, false>(kAllRows);
  return kOfNumbers[index];
}

PanelKernel panel_block_kernel(int64_t rows) {
  static constexpr auto kKernels = kernels_of<Number, true>(kAllRows);
  return kKernels[static_cast<size_t>(rows - 1)];
}

bool halves_have_kernels() {
#ifdef __AVX512F__
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace cae::cpu
