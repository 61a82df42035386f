#pragma once

#include <cstdint>

#include "cpu/gemm.h"

namespace cae::cpu {

// Whether panel_gemm computes this product and is, as measured, no slower than oneDNN: f32 throughout, of any
// layout on a CPU that gains by paired products, else where b is transposed; or bf16 with bf16 or f32 results
// on a CPU with AVX512-BF16 and no AMX (which only oneDNN uses). Large enough to be worth packing.
bool panel_gemm_applies(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, Dtype c_dtype, bool accumulate);

// gemm(), where it applies: both matrices are packed once into panels, whose products stay in registers over
// all of k, so that c is written once (after Goto & van de Geijn, "Anatomy of high-performance matrix
// multiplication", 2008). Threads share c's columns: a result does not depend on their number.
void panel_gemm(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, void* c, Dtype c_dtype,
                const float* bias, bool accumulate);

}  // namespace cae::cpu
