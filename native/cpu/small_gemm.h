#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace cae::cpu {

// A matrix in memory with a leading dimension, read as it lies or transposed.
template <typename T>
struct Strided {
  const T* data;
  int64_t ld;
  bool transposed = false;
};

// c's leading dimension for n columns: whole panels.
int64_t padded_columns(int64_t n);

// c [m,n] (+)= op(a) [m,k] · op(b) [k,n] on the calling thread, for the many small products of attention. c
// has room for padded_columns(n) in each row; what stands behind the n is undefined. bf16 takes AVX512-BF16
// where the CPU has it and is widened elsewhere.
void small_gemm(int64_t m, int64_t n, int64_t k, Strided<float> a, Strided<float> b, bool accumulate,
                float* c, int64_t ldc);
void small_gemm(int64_t m, int64_t n, int64_t k, Strided<BF16> a, Strided<BF16> b, bool accumulate, float* c,
                int64_t ldc);
void small_gemm(int64_t m, int64_t n, int64_t k, Strided<double> a, Strided<double> b, bool accumulate,
                double* c, int64_t ldc);

}  // namespace cae::cpu
