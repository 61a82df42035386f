#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace cae::cpu {

// One side of a product: a matrix in memory, read as it lies or transposed.
struct Matrix {
  const void* data;
  Dtype dtype;
  bool transposed = false;
};

// c [m,n] = a [m,k] · b [k,n] (+ bias [n]), or c += a · b where it accumulates, which takes no bias; all
// matrices dense, and k may be 0. f32 and bf16 inputs go by packed panels (cpu/panel_gemm.h) or through
// oneDNN, whose primitives are built once a shape, with bf16 or f32 results and an f32 bias; bf16 is widened
// to f32 where oneDNN has none. f64 goes through a plain blocked loop.
void gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype, const void* bias,
          bool accumulate);

// c = alpha·op(a)·op(b) + beta·c with leading dimensions. In a parallel region it stays on the calling
// thread: for the many small products inside attention, which is parallel over batch and heads already.
void blas_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
               const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void blas_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double* a, int64_t lda,
               const double* b, int64_t ldb, double beta, double* c, int64_t ldc);

}  // namespace cae::cpu
