#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cpu/panels.h"

// Vectors of words, with AVX-512 or AVX2, as packing reads, transposes and writes them.
namespace cae::cpu {

using AnyWord [[gnu::may_alias]] = uint32_t;  // in memory that holds floats, or bf16
using Words [[gnu::vector_size(4 * kVector)]] = uint32_t;
using Floats [[gnu::vector_size(4 * kVector)]] = float;

// A vector's first n words; what is read of the others is zeros, and what is written leaves them alone.
class FirstWords {
 public:
#ifdef __AVX512F__
  explicit FirstWords(int64_t n)
      : lanes_(static_cast<__mmask16>(n >= kVector ? 0xffff : (1U << std::max<int64_t>(n, 0)) - 1)) {}
  Words load(const void* from) const {
    return reinterpret_cast<Words>(_mm512_maskz_loadu_epi32(lanes_, from));
  }
  // Numbers of 16 bits, a word each.
  Words load_halves(const BF16* from) const {
    return reinterpret_cast<Words>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes_, from)));
  }
  void store(Words words, AnyWord* to) const {
    _mm512_mask_storeu_epi32(to, lanes_, reinterpret_cast<__m512i>(words));
  }

 private:
  __mmask16 lanes_;
#else
  explicit FirstWords(int64_t n) : count_(std::clamp<int64_t>(n, 0, kVector)) {
    static constexpr int32_t kLanes[2 * kVector] = {-1, -1, -1, -1, -1, -1, -1, -1};
    std::memcpy(&lanes_, kLanes + kVector - count_, sizeof lanes_);
  }
  Words load(const void* from) const {
    return reinterpret_cast<Words>(_mm256_maskload_epi32(static_cast<const int*>(from), lanes_));
  }
  // Numbers of 16 bits, a word each.
  Words load_halves(const BF16* from) const {
    __m128i halves = _mm_setzero_si128();
    if (count_ == kVector)
      halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    else
      std::memcpy(&halves, static_cast<const void*>(from), static_cast<size_t>(count_) * sizeof *from);
    return reinterpret_cast<Words>(_mm256_cvtepu16_epi32(halves));
  }
  // In pieces: a store of some lanes is slow on AMD's CPUs.
  void store(Words words, AnyWord* to) const {
    if (count_ == kVector)
      std::memcpy(to, &words, sizeof words);
    else
      for (int64_t i = 0; i < count_; ++i) to[i] = words[i];
  }

 private:
  int64_t count_;
  __m256i lanes_;
#endif
};

// Where word i of a merge comes from: of each run of 2·n words in x and y, the n at `offset` of x's, then of
// y's.
constexpr int merged_from(int n, int offset, int i) {
  const int in_run = i % (2 * n);
  return i - in_run + offset + (in_run < n ? in_run : static_cast<int>(kVector) + in_run - n);
}
template <int N, int Offset, int... I>
inline Words merge(Words x, Words y, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, y, merged_from(N, Offset, I)...);
}

// Exchanges blocks of N words between lines that are N apart; from half a vector on, with half the N each
// time, a square is transposed.
template <int N = kVector / 2>
inline void transpose(Words v[kVector]) {
  constexpr std::make_integer_sequence<int, kVector> kWords;
#pragma GCC unroll 16
  for (int i = 0; i < kVector; ++i) {
    if ((i & N) != 0) continue;
    const Words x = v[i];
    v[i] = merge<N, 0>(x, v[i + N], kWords);
    v[i + N] = merge<N, N>(x, v[i + N], kWords);
  }
  if constexpr (N > 1) transpose<N / 2>(v);
}

inline Words scaled(Words floats, Floats by) {
  return reinterpret_cast<Words>(reinterpret_cast<Floats>(floats) * by);
}

}  // namespace cae::cpu
